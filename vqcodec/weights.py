"""Weights: a name or a path to verified files to a model.

A folder of weights holds ``config.json`` (builds the model; names each file's SHA-256),
``model.safetensors``, ``README.md`` (the model card) and, for codecs that can be sampled from,
``sampling_prior.safetensors``. Nothing in it can run code.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vqcodec.config import Tree, check_range, to_json
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files.atomic import writing

if TYPE_CHECKING:
    import torch

    from vqcodec.priors.base import Prior
    from vqcodec.vqvae import VQVAE

CONFIG, MODEL, CARD = "config.json", "model.safetensors", "README.md"
SAMPLING_PRIOR = "sampling_prior"  # its table in the config; its file ends in .safetensors
MAX_CONFIG_BYTES = 1 << 20
MAX_MODEL_BYTES = 1 << 30
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Weights:
    """A folder of weights whose config has been read.

    Attributes:
        folder: where it lies.
        name: its published name, which code files carry.
        config: the tree of ``config.json``.
    """

    folder: Path
    name: str
    config: Tree

    @property
    def modality(self) -> str:
        """What it codes: ``image`` or ``audio``."""
        return str(self.config.get("modality", ""))

    @property
    def codebook_size(self) -> int:
        """K, of the last quantizer."""
        return int(self.config["model"]["quantizer"]["codebook_size"])

    @property
    def held_out(self) -> dict[str, float]:
        """Figures by name that were measured when training ended; empty if unknown."""
        training = self.config.get("training")
        figures = training.get("held_out") if isinstance(training, dict) else None
        if not isinstance(figures, dict):
            return {}
        return {k: v for k, v in figures.items() if isinstance(v, int | float)}

    @property
    def codebook_id(self) -> bytes:
        """The four bytes that give indices their meaning."""
        return bytes.fromhex(self.config["codebook_id"])


def search_path() -> list[Path]:
    """Return the folders that named weights are looked for in, first match first."""
    package = Path(__file__).parent
    folders = [user_folder(), package / "_weights"]
    if (package.parent / "pyproject.toml").is_file():  # an editable checkout
        folders.append(package.parent / "weights")
    if extra := os.environ.get("VQCODEC_WEIGHTS"):
        folders.insert(0, Path(extra))
    return folders


def user_folder() -> Path:
    """Return the folder of the user's own weights; it need not exist."""
    from platformdirs import user_data_path

    return user_data_path("vqcodec") / "weights"


def list_weights(damaged: list[str] | None = None) -> list[Weights]:
    """Return all weights on the search path, each name once, sorted by name.

    Damaged ones are left out, and what is wrong with them added to `damaged`.
    """
    found: dict[str, Weights] = {}
    for folder in search_path():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if NAME.fullmatch(path.name) and (path / CONFIG).is_file():
                    try:
                        found.setdefault(path.name, read_weights(path))
                    except WeightsError as error:
                        (damaged if damaged is not None else []).append(str(error))
    return [found[name] for name in sorted(found)]


def find_weights(name: str) -> Weights:
    """Find weights by published name, or by path if `name` holds a separator or is a folder.

    For names that a user typed; those that a file carries go to `find_named`.

    Raises:
        WeightsError: there are none, or they are damaged.
    """
    path = Path(name)
    if NAME.fullmatch(name):
        try:
            return find_named(name)
        except WeightsError:
            if not path.is_dir():
                raise
    if not path.is_dir():
        raise WeightsError(f"{name}: no such folder of weights")
    return read_weights(path)


def find_named(name: str) -> Weights:
    """Find weights by published name only.

    Raises:
        WeightsError: there are none of this name.
    """
    if NAME.fullmatch(name):
        for folder in search_path():
            if (folder / name / CONFIG).is_file():
                return read_weights(folder / name)
    known = ", ".join(w.name for w in list_weights()) or "none"
    raise WeightsError(f"no weights named '{name}' are installed (there are: {known})")


def read_weights(folder: Path) -> Weights:
    """Read and check the ``config.json`` of a folder of weights."""
    path = folder / CONFIG
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise WeightsError(f"{path}: larger than any config of weights")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{folder}: no readable {CONFIG} ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise WeightsError(f"{path}: not valid JSON") from None
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: not a config of weights")
    name, codebook_id = config.get("name"), config.get("codebook_id")
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise WeightsError(f"{path}: lacks a valid 'name'")
    if not (isinstance(codebook_id, str) and re.fullmatch(r"[0-9a-f]{8}", codebook_id)):
        raise WeightsError(f"{path}: lacks a valid 'codebook_id'")
    weights = Weights(folder, name, config)
    try:
        check_range("codebook_size", weights.codebook_size, 2, 65536)
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{path}: lacks a valid codebook size") from None
    return weights


def read_state(weights: Weights, file: str = MODEL) -> dict[str, "torch.Tensor"]:
    """Read the tensors of one file of `weights`, as float32, its checksum verified.

    Raises:
        WeightsError: the file is missing, damaged, or not the one that the config names.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    path = weights.folder / file
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise WeightsError(f"{path}: larger than the limit of {MAX_MODEL_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    files = weights.config.get("files")
    if not isinstance(files, dict) or files.get(file) != hashlib.sha256(data).hexdigest():
        raise WeightsError(f"{path}: damaged, its SHA-256 is not the one in {CONFIG}")
    try:
        return {k: v.float() for k, v in safetensors.torch.load(data).items()}
    except SafetensorError:
        raise WeightsError(f"{path}: not a safetensors file") from None


def load_model(weights: Weights) -> "VQVAE":
    """Build the model of `weights` in evaluation mode, on the CPU.

    Raises:
        WeightsError: config and tensors do not fit each other.
    """
    from vqcodec.vqvae import build

    model = _load(weights, MODEL, lambda n: build(_table(weights.config, "model"), n))
    if codebook_id(model.quantizer.codebook_bytes()) != weights.codebook_id:
        raise WeightsError(f"{weights.folder}: its codebook is not the one that {CONFIG} names")
    return model


def load_sampling_prior(weights: Weights) -> "Prior":
    """Build the prior that index maps are sampled from, in evaluation mode, on the CPU.

    Raises:
        WeightsError: there is none, it is damaged, or it was made for other codes.
    """
    from vqcodec.vqvae import build_prior

    table = weights.config.get(SAMPLING_PRIOR)
    if not isinstance(table, dict):
        raise WeightsError(
            f"{weights.folder}: has no sampling prior; "
            f"train one with: vqcodec train prior --codec {weights.name}"
        )
    if table.get("codebook_id") != weights.codebook_id.hex():
        raise WeightsError(f"{weights.folder}: its sampling prior was made for another codebook")
    file = f"{SAMPLING_PRIOR}.safetensors"
    prior = _load(weights, file, lambda n: build_prior(table.get("prior"), n))
    if set(prior.codebook_sizes) != {weights.codebook_size}:
        raise WeightsError(f"{weights.folder}: its sampling prior is for other codebook sizes")
    return prior


Built = TypeVar("Built", bound="torch.nn.Module")


def _load(weights: Weights, file: str, build: Callable[[int], Built]) -> Built:
    """Fill what `build` makes, of at most as many numbers as the file holds, with its tensors."""
    state = read_state(weights, file)
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


def write_weights(folder: Path, config: Tree, model: "VQVAE") -> Tree:
    """Write ``config.json`` and ``model.safetensors`` of a model into an existing folder.

    Kernels are rounded to float16, which halves the file and changes no picture visibly; vectors,
    scales and the codebook stay float32.

    Args:
        folder: where to write.
        config: with ``name``, ``modality``, ``model`` and whatever else is worth keeping.
        model: the network that `config` builds.

    Returns:
        The config as written, with ``codebook_id`` and ``files``.
    """
    import safetensors.torch

    tensors = {
        key: (value.half() if value.ndim > 2 else value.float()).contiguous()
        for key, value in model.state_dict().items()
    }
    data = safetensors.torch.save(tensors)
    config = {
        **config,
        "codebook_id": codebook_id(model.quantizer.codebook_bytes()).hex(),
        "files": {MODEL: hashlib.sha256(data).hexdigest()},
    }
    (folder / MODEL).write_bytes(data)
    (folder / CONFIG).write_text(to_json(config), encoding="utf-8")
    return config


def write_sampling_prior(weights: Weights, table: Tree, prior: "Prior", *, force: bool) -> Tree:
    """Add a sampling prior, its kernels and embeddings in float16, to weights that are there.

    Args:
        weights: of the codec.
        table: with ``prior``, ``codebook_id`` and whatever else is worth keeping.
        prior: the network that ``table["prior"]`` builds.
        force: replace a prior that is there.

    Returns:
        The config of the weights, as written.

    Raises:
        WeightsError: the prior was made for other codes.
        OutputError: a prior is there and `force` is not given.
    """
    import safetensors.torch

    if table.get("codebook_id") != weights.codebook_id.hex():
        raise WeightsError(
            f"{weights.folder}: the prior was trained for codebook {table.get('codebook_id')}, "
            f"these weights have {weights.codebook_id.hex()}"
        )
    file = f"{SAMPLING_PRIOR}.safetensors"
    tensors = {
        key: (value.half() if value.ndim > 1 else value.float()).contiguous()
        for key, value in prior.state_dict().items()
    }
    data = safetensors.torch.save(tensors)
    files = {**weights.config["files"], file: hashlib.sha256(data).hexdigest()}
    config = {**weights.config, SAMPLING_PRIOR: table, "files": files}
    with writing(weights.folder / file, force=force) as target:
        target.write(data)
    with writing(weights.folder / CONFIG, force=True) as target:
        target.write(to_json(config).encode())
    return config


def codebook_id(codebook: bytes) -> bytes:
    """Return the first four bytes of the SHA-256 of the codebook(s)."""
    return hashlib.sha256(codebook).digest()[:4]


def _table(tree: Tree, key: str) -> dict[str, Any]:
    table = tree.get(key)
    if not isinstance(table, dict):
        raise UsageError(f"lacks the table '{key}'")
    return table
