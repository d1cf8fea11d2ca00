"""Verified files to networks, and trained networks to files."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from vqcodec.config import Tree, parse, to_json
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files.atomic import writing
from vqcodec.framepriors import FRAME_PRIOR
from vqcodec.models.decoders.base import Decoder
from vqcodec.models.decoders.wavenet import WaveNet
from vqcodec.models.fixedpoint import frame_arrays, to_arrays
from vqcodec.models.priors.base import Prior
from vqcodec.models.priors.frames import FramesPrior
from vqcodec.models.priors.integer import IntegerPrior
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.refiner import Config as RefinerConfig
from vqcodec.models.refiner import Refiner
from vqcodec.models.stacked import FIRST, with_first
from vqcodec.models.vae import VAE, build_model
from vqcodec.models.vqvae import VQVAE, build_decoder, build_prior, check_size, renamed
from vqcodec.weights import (
    CODEBOOK_IDS,
    CODING_PRIOR,
    CONFIG,
    MODEL,
    NETWORK,
    SAMPLING_PRIOR,
    VOICE_DECODER,
    WAVENET,
    WAVENET_ALONE,
    Weights,
    codebook_id,
    first_codec,
    read_verified,
    reference,
    table_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_state(weights: Weights, file: str = MODEL) -> dict[str, torch.Tensor]:
    """Read the tensors of one file of `weights`, as float32.

    Raises:
        WeightsError: the file is missing, damaged, or not the one that the config names.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    data = read_verified(weights, file)
    try:
        return {k: v.float() for k, v in safetensors.torch.load(data).items()}
    except SafetensorError:
        raise WeightsError(f"{weights.folder / file}: not a safetensors file") from None


def load_model(weights: Weights) -> VQVAE:
    """Build the model of `weights` in evaluation mode, on the CPU.

    Raises:
        WeightsError: config and tensors do not fit each other.
    """
    model = load_any_model(weights)
    if not isinstance(model, VQVAE):
        raise WeightsError(f"{weights.folder}: has no codes")
    return model


def load_any_model(weights: Weights) -> VQVAE | VAE:
    """Build the model of `weights`, with codes or without; see `load_model`."""
    if weights.refiner:
        raise WeightsError(
            f"{weights.folder}: refines what '{weights.first}' decodes, and has no model of its "
            "own; name that codec"
        )
    first, state = first_codec(weights), read_state(weights)
    if first is not None:
        state |= {FIRST + key: tensor for key, tensor in renamed(read_state(first)).items()}

    def build_whole(most: int) -> VQVAE | VAE:
        table = _table(weights.config, "model")
        if first is not None:
            table = with_first(table, _table(first.config, "model"))
        return build_model(table, most)

    model = _filled(weights, MODEL, state, build_whole)
    if tuple(spec.codebook_size for spec in model.maps) != weights.all_codebook_sizes:
        raise WeightsError(f"{weights.folder}: its maps are not those that {CONFIG} names")
    if codebook_id(model.codebook_bytes()).hex() != weights.config["codebook_id"]:
        raise WeightsError(f"{weights.folder}: its codebook is not the one that {CONFIG} names")
    return model


def load_refiner(weights: Weights) -> Refiner:
    """Build the network of weights that refine, in evaluation mode, on the CPU.

    Raises:
        WeightsError: config and tensors do not fit each other.
    """
    state = read_state(weights)
    own = {k.removeprefix(NETWORK): v for k, v in state.items() if k.startswith(NETWORK)}

    def build(most: int) -> Refiner:
        config: RefinerConfig = parse(RefinerConfig, weights.refiner, "refiner")
        check_size(config.min_parameters, most)
        return config.build()

    return _filled(weights, MODEL, own, build)


def load_sampling_prior(weights: Weights, draws: str | None = None) -> Prior:
    """Build the prior that index maps are sampled from, in evaluation mode, on the CPU.

    Args:
        weights: that have it.
        draws: what it is to draw, see `Weights.draws`; what the weights code by default.

    Raises:
        WeightsError: there is none, it is damaged, or it was made for other codes.
    """
    if weights.refiner and SAMPLING_PRIOR not in table_of(weights.config, "files"):
        raise WeightsError(
            f"nothing can be drawn with '{weights.name}', as its codes tell only what others lack; "
            "'video-frames' draws frames of video, and 'image-f4' pictures"
        )
    table = _part(weights, SAMPLING_PRIOR, "sampling prior", "prior")
    if weights.draws != (draws or weights.modality):
        raise WeightsError(
            f"{weights.folder}: its sampling prior draws {weights.draws}, not "
            f"{draws or weights.modality}"
        )
    prior = _load(weights, SAMPLING_PRIOR, lambda n: build_prior(table.get("prior"), n))
    if prior.codebook_sizes != weights.codebook_sizes:
        raise WeightsError(f"{weights.folder}: its sampling prior is for other codebook sizes")
    return prior


def load_decoder(weights: Weights) -> WaveNet:
    """Build the second decoder of `weights`, in evaluation mode, on the CPU.

    Raises:
        WeightsError: there is none, it is damaged, or it was made for other codes.
    """
    return _load_wavenet(weights, WAVENET, "WaveNet decoder", "speech --stage decoder")


def load_voice_decoder(weights: Weights) -> Decoder:
    """Build the decoder that `weights` convert voices with, in evaluation mode, on the CPU.

    It is built as the fast one; its file holds the tensors that differ from those.

    Raises:
        WeightsError: there is none, it is damaged, or it was made for other codes.
    """
    _part(weights, VOICE_DECODER, "decoder of voices")
    fast = {
        key.removeprefix("decoder."): tensor
        for key, tensor in read_state(weights).items()
        if key.startswith("decoder.")
    }
    state = fast | read_state(weights, VOICE_DECODER)
    table = weights.config["model"].get("decoder")
    return _filled(weights, VOICE_DECODER, state, lambda n: build_decoder(table, n))


def load_wavenet_alone(weights: Weights) -> WaveNet:
    """Build the WaveNet of `weights` that hears no codes, in evaluation mode, on the CPU.

    Raises:
        WeightsError: there is none, it is damaged, or it was trained beside other codes.
    """
    command = "speech --stage decoder --preset wavenet-alone"
    return _load_wavenet(weights, WAVENET_ALONE, "WaveNet without codes", command)


def _load_wavenet(weights: Weights, file: str, name: str, command: str) -> WaveNet:
    table = _part(weights, file, name, command)
    decoder = _load(weights, file, lambda n: build_decoder(table.get("decoder"), n))
    first = weights.config["model"]["decoder"]
    if not isinstance(decoder, WaveNet) or any(
        getattr(decoder.config, key) != first.get(key) for key in ("dim", "stride", "cond_dim")
    ):
        raise WeightsError(f"{weights.folder}: its {name} is for codes of another shape")
    if decoder.config.codes != (file == WAVENET):
        hears = "hears" if decoder.config.codes else "does not hear"
        raise WeightsError(f"{weights.folder}: its {name} {hears} codes")
    return decoder


def _part(weights: Weights, file: str, name: str, command: str = "") -> Tree:
    """Return the table of what `write_part` added, if it was made for these codes."""
    table = weights.config.get(_key(file))
    if not isinstance(table, dict):
        advice = f"; train one with: vqcodec train {command} --codec {weights.name}"
        raise WeightsError(f"{weights.folder}: has no {name}{advice if command else ''}")
    if not _fits(table, weights):
        raise WeightsError(f"{weights.folder}: its {name} was made for another codebook")
    return table


def _fits(table: Tree, weights: Weights) -> bool:
    """Return whether a part was made for codes of these weights, of one codebook or several."""
    return weights.of_codes(bytes.fromhex(table["codebook_id"])) is not None


def _key(file: str) -> str:
    return file.removesuffix(".safetensors")


Built = TypeVar("Built", bound=torch.nn.Module)


def _load(weights: Weights, file: str, build: Callable[[int], Built]) -> Built:
    """Fill what `build` makes, of at most as many numbers as the file holds, with its tensors."""
    return _filled(weights, file, read_state(weights, file), build)


def _filled(
    weights: Weights, file: str, state: dict[str, torch.Tensor], build: Callable[[int], Built]
) -> Built:
    try:
        model = build(sum(tensor.numel() for tensor in state.values()))
        model.load_state_dict(state)
    except UsageError as error:
        raise WeightsError(f"{weights.folder / CONFIG}: {error}") from None
    except RuntimeError:
        raise WeightsError(
            f"{weights.folder / file}: its tensors are not those of the model in {CONFIG}"
        ) from None
    return model.eval().requires_grad_(False)


def write_weights(folder: Path, config: Tree, model: VQVAE | VAE) -> Tree:
    """Write ``config.json`` and ``model.safetensors`` of a model into an existing folder.

    Args:
        folder: where to write.
        config: with ``name``, ``modality``, ``model`` and whatever else is worth keeping.
        model: the network that `config` builds.

    Returns:
        The config as written, with ``maps``, ``codebook_id`` and ``files``, and for sound in
        several maps ``codebook_ids``.
    """
    data = tensor_bytes(model, without=FIRST if reference(config["model"]) else None)
    config = {
        **config,
        "maps": [asdict(spec) for spec in model.maps],
        "codebook_id": codebook_id(model.codebook_bytes()).hex(),
        "files": {MODEL: hashlib.sha256(data).hexdigest()},
    }
    if len(model.maps) > 1 and len(model.maps[0].stride) == 1:  # sound
        firsts = (model.codebook_bytes(n) for n in range(1, len(model.maps) + 1))
        config[CODEBOOK_IDS] = [codebook_id(data).hex() for data in firsts]
    (folder / MODEL).write_bytes(data)
    (folder / CONFIG).write_text(to_json(config), encoding="utf-8")
    return config


def prior_bytes(prior: Prior) -> tuple[str, bytes]:
    """Return the name and the content of the file that keeps a trained prior."""
    if isinstance(prior, LatticePrior):
        return CODING_PRIOR, coding_bytes([to_arrays(prior)])
    if isinstance(prior, FramesPrior) and prior.config.coding:
        return FRAME_PRIOR, coding_bytes([frame_arrays(prior)])
    integers = [own.arrays() for own in prior.each() if isinstance(own, IntegerPrior)]
    if integers:
        return CODING_PRIOR, coding_bytes(integers)
    return SAMPLING_PRIOR, tensor_bytes(prior)


def tensor_bytes(module: torch.nn.Module, without: str | None = None) -> bytes:
    """Return the content of the file that keeps a trained network.

    Tensors whose name begins with `without` are left out, where it is given.
    Kernels and matrices are rounded to float16, which halves the file and changes no picture
    visibly; vectors, scales and the codebook stay float32.
    """
    import safetensors.torch

    return safetensors.torch.save(
        {
            key: (
                value.half()
                if value.ndim > 1 and "quantizer" not in key.split(".")
                else value.float()
            ).contiguous()
            for key, value in module.state_dict().items()
            if without is None or not key.startswith(without)
        }
    )


def coding_bytes(maps: "list[dict[str, NDArray[np.int64]]]") -> bytes:
    """Return the file of what models of `vqcodec.coding` run, for each map or one for all."""
    import numpy as np
    import safetensors.numpy

    arrays = maps[0]
    if len(maps) > 1:
        arrays = {f"{i}.{name}": array for i, own in enumerate(maps) for name, array in own.items()}
    return safetensors.numpy.save(
        {
            # in C order: safetensors writes memory as it lies
            name: array.astype(np.int64 if name.endswith(("bias", "shifts")) else np.int16, "C")
            for name, array in arrays.items()
        }
    )


def write_part(weights: Weights, table: Tree, file: str, data: bytes, *, force: bool) -> None:
    """Add a prior, or a second decoder, to weights that are there.

    A new coding prior leaves files that were made with the one before it unreadable.

    Args:
        weights: of the codec.
        table: with ``codebook_id`` and whatever else of the part is worth keeping.
        file: ``coding_prior.safetensors`` or its like.
        data: its content.
        force: replace one that is there.

    Raises:
        WeightsError: it was made for other codes.
        OutputError: there is one and `force` is not given.
    """
    if not _fits(table, weights):
        raise WeightsError(
            f"{weights.folder}: {file} was trained for codebook {table.get('codebook_id')}, "
            f"these weights have {weights.codebook_id.hex()}"
        )
    files = {**weights.config["files"], file: hashlib.sha256(data).hexdigest()}
    config = {**weights.config, _key(file): table, "files": files}
    with writing(weights.folder / file, force=force) as target:
        target.write(data)
    with writing(weights.folder / CONFIG, force=True) as target:
        target.write(to_json(config).encode())


def _table(tree: Tree, key: str) -> dict[str, Any]:
    table = tree.get(key)
    if not isinstance(table, dict):
        raise UsageError(f"lacks the table '{key}'")
    return table
