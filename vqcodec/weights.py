"""Weights: a name or a path to a folder of verified files.

A folder of weights holds ``config.json`` (builds the model; tells of its maps; names each file's
SHA-256), ``model.safetensors``, ``README.md`` (the model card), and, each where there is such a
part, ``coding_prior.safetensors``, ``former_prior.safetensors`` (that of older files),
``sampling_prior.safetensors``, ``wavenet.safetensors``, ``wavenet_alone.safetensors`` (it hears no
codes), ``voice_decoder.safetensors`` (what voices are decoded with, as far as it differs),
``timbres.safetensors`` (of named speakers) and graphs to run the model without torch, `GRAPHS`,
which take their tensors from that of the model, see `vqcodec.codec.graphfiles`.
Nothing in it can run code. Speech may have residual codebooks, and codes of the first: the config
has ``codebook_ids``, one for each number of them, and weights stand for one until
`Weights.with_codebooks` says otherwise.
"""

import functools
import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vqcodec.config import Tree, check_range
from vqcodec.errors import UsageError, WeightsError
from vqcodec.modality import Modality, by_name

CONFIG, MODEL, CARD = "config.json", "model.safetensors", "README.md"
CODING_PRIOR, SAMPLING_PRIOR = "coding_prior.safetensors", "sampling_prior.safetensors"
WAVENET, WAVENET_ALONE = "wavenet.safetensors", "wavenet_alone.safetensors"  # without codes
VOICE_DECODER = "voice_decoder.safetensors"  # that voices are converted with
ENCODER, DECODER, SPEAKER = GRAPHS = ("encoder.onnx", "decoder.onnx", "speaker.onnx")
GRAPHS_KEY = "graphs"  # of the config, where it tells what an engine has to know of them
ANALYSIS, CODEBOOKS, USUAL = "analysis", "codebooks", "usual"  # tensors of weights that refine
NETWORK = "network."  # what the names of the others begin with
REFINER = "refiner.onnx"  # the graph of that network
RATES = "rates"  # the rate weights that a model was trained for, in its config
TIMBRES = "timbres.safetensors"  # NAME.features and NAME.cepstra, see `media.timbre`
HELD_OUT_SIDE = 128  # of the squares that pictures are measured on, where a preset names no other
CODEBOOK_IDS = "codebook_ids"  # of the config; see above
MAX_CONFIG_BYTES, MAX_MODEL_BYTES = 1 << 20, 1 << 30
MAX_MAPS = 16  # of a model, and so of a file of codes
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Weights:
    """A folder of weights whose config has been read.

    Attributes:
        folder: where it lies.
        name: its published name, which code files carry.
        config: the tree of ``config.json``.
        number: of codebooks that codes are of, the first ones; None for all.
    """

    folder: Path
    name: str
    config: Tree
    number: int | None = None

    @property
    def modality(self) -> str:
        """What it codes: ``image`` or ``audio``."""
        return str(self.config.get("modality", ""))

    @property
    def draws(self) -> str:
        """What its sampling prior draws, ``image``, ``audio`` or ``video``; else `modality`."""
        return str(table_of(self.config, "sampling_prior").get("modality", self.modality))

    @property
    def refiner(self) -> Tree:
        """The settings of a network that refines what another codec decodes; else empty."""
        return table_of(table_of(self.config, "model"), "refiner")

    @property
    def first(self) -> str:
        """The name of the codec that these stand on; empty where there is none."""
        found = reference(self.config.get("model"))
        return found[0] if found else ""

    def check(self, modality: Modality) -> None:
        """Raise WeightsError if they code other media, or nothing at all."""
        if self.refiner and modality.name != self.modality:
            raise WeightsError(
                f"{self.folder}: codes {by_name(self.modality).codes} alone; {modality.codes} can "
                f"be coded with '{self.first}', which it stands on"
            )
        if not modality.coded_by(self.modality):
            raise WeightsError(f"{self.folder}: codes {self.modality}, not {modality.codes}")
        if not self.codebook_sizes:
            raise WeightsError(
                f"{self.folder}: has no codes; it is there to be measured, with: "
                f"vqcodec evaluate DATA --bound --model {self.name} -o FOLDER"
            )

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each index map, coarse to fine, that codes have; none of what is not a codec."""
        return self.all_codebook_sizes[: self.number]

    @property
    def all_codebook_sizes(self) -> tuple[int, ...]:
        """K of each map of the model."""
        maps = self.config.get("maps")
        if maps is None:  # made before there could be several
            return (int(self.config["model"]["quantizer"]["codebook_size"]),)
        return tuple(int(spec["codebook_size"]) for spec in maps)

    @property
    def held_out(self) -> dict[str, float]:
        """Figures by name that were measured when training ended; empty if unknown."""
        figures = table_of(table_of(self.config, "training"), "held_out")
        return {k: v for k, v in figures.items() if isinstance(v, int | float)}

    @property
    def held_out_side(self) -> int:
        """Side in pixels of the squares that a model of pictures was measured on in training."""
        side = table_of(table_of(self.config, "training"), "settings").get("held_out_side")
        return side if isinstance(side, int) and 8 <= side <= 2048 else HELD_OUT_SIDE

    @property
    def codebook_id(self) -> bytes:
        """The four bytes that give indices their meaning."""
        if self.number is not None:
            return self.codebook_ids[self.number - 1]
        return bytes.fromhex(self.config["codebook_id"])

    @property
    def codebook_ids(self) -> tuple[bytes, ...]:
        """The codebook id of codes of one codebook, of two, ...; none if codes are of all maps."""
        return tuple(bytes.fromhex(one) for one in self.config.get(CODEBOOK_IDS, ()))

    def with_codebooks(self, number: int) -> "Weights":
        """Return these weights for codes of the first so many codebooks.

        Raises:
            UsageError: they have not so many.
        """
        most = max(1, len(self.codebook_ids))
        if not 1 <= number <= most:
            have = f"1 to {most}" if most > 1 else "one only"
            raise UsageError(f"--codebooks is {number}; the weights '{self.name}' have {have}")
        return replace(self, number=number) if self.codebook_ids else self

    def of_codes(self, identity: bytes) -> "Weights | None":
        """Return these weights for codes of this codebook id; None if they make no such codes."""
        if identity in self.codebook_ids:
            return self.with_codebooks(1 + self.codebook_ids.index(identity))
        return self if identity == self.codebook_id else None


def table_of(tree: Tree, key: str) -> Tree:
    """Return the table under a key; an empty one where there is none."""
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def search_path() -> list[Path]:
    """Return the folders that named weights are looked for in, first match first."""
    package = Path(__file__).parent
    folders = [package / "_weights"]
    if user := user_folder():
        folders.insert(0, user)
    if (package.parent / "pyproject.toml").is_file():  # an editable checkout
        folders.append(package.parent / "weights")
    if extra := os.environ.get("VQCODEC_WEIGHTS"):
        folders.insert(0, Path(extra))
    return folders


def own_folder() -> Path:
    """Return where the user's own weights go: $VQCODEC_WEIGHTS, else the data folder.

    Raises:
        UsageError: the user has no home, and so no data folder.
    """
    extra = os.environ.get("VQCODEC_WEIGHTS")
    folder = Path(extra) if extra else user_folder()
    if folder is None:
        raise UsageError("there is no home folder to put weights in; name a folder with --output")
    return folder


def user_folder() -> Path | None:
    """Return the folder of weights among the user's data, which need not exist.

    None where the user has no home: with HOME unset, in a container without an entry for them.
    """
    from platformdirs import user_data_path

    try:
        folder = user_data_path("vqcodec") / "weights"
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # of older platformdirs it begins with a ~


def list_weights(damaged: list[str] | None = None) -> list[Weights]:
    """Return all weights on the search path, each name once, sorted by name.

    Damaged ones are left out, and what is wrong with them added to `damaged`.
    """
    found: dict[str, Weights] = {}
    for folder in search_path():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if NAME.fullmatch(path.name) and _holds_weights(path):
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
        WeightsError: there are none of this name, or they are damaged.
    """
    found = find_installed(name)
    if found is not None:
        return found
    known = ", ".join(w.name for w in list_weights()) or "none"
    raise WeightsError(f"no weights named '{name}' are installed (there are: {known})")


def find_installed(name: str) -> Weights | None:
    """Return the weights of a published name; None where none are installed.

    Raises:
        WeightsError: they are damaged.
    """
    places = [folder / name for folder in search_path()] if NAME.fullmatch(name) else []
    found = [place for place in places if (place / CONFIG).is_file()]
    found += [place for place in places if _holds_weights(place)]  # if only to say what they lack
    return read_weights(found[0]) if found else None


def _holds_weights(folder: Path) -> bool:
    """Tell whether a folder is one of weights, be it an incomplete one."""
    return any((folder / name).is_file() for name in (CONFIG, MODEL))


def incomplete(folder: Path, name: str) -> WeightsError:
    """Return the error that a folder of weights lacks a file."""
    return WeightsError(f"{folder}: incomplete, it lacks {name}; install these weights anew")


def read_weights(folder: Path) -> Weights:
    """Read and check the ``config.json`` of a folder of weights."""
    try:
        state = (folder / CONFIG).stat()
    except FileNotFoundError:
        if _holds_weights(folder):
            raise incomplete(folder, CONFIG) from None
        raise WeightsError(f"{folder}: no folder of weights, for it lacks {CONFIG}") from None
    except OSError as error:
        raise WeightsError(f"{folder}: no readable {CONFIG} ({error.strerror})") from None
    return _read_weights(folder, (state.st_mtime_ns, state.st_ino, state.st_size))


@functools.lru_cache(maxsize=64)  # for a folder of files, each of which asks for its weights
def _read_weights(folder: Path, state: tuple[int, int, int]) -> Weights:
    """Read the config that is in this `state`."""
    path = folder / CONFIG
    try:
        if state[-1] > MAX_CONFIG_BYTES:
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
        sizes, ids = weights.all_codebook_sizes, weights.codebook_ids
        check_range("number of maps", len(sizes), 0, MAX_MAPS)
        for size in sizes:
            check_range("codebook_size", size, 2, 65536)
        if ids and (len(ids) != len(sizes) or ids[-1] != weights.codebook_id):
            raise ValueError("other codebooks than maps")
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{path}: lacks a valid codebook size") from None
    return replace(weights, number=1) if ids else weights


def reference(model: Any) -> tuple[str, str] | None:
    """Return name and codebook id of the first codec, if a ``model`` table but refers to one."""
    on = model.get("on") if isinstance(model, dict) else None
    if not isinstance(on, dict) or set(on) != {"name", "codebook_id"}:
        return None
    return str(on["name"]), str(on["codebook_id"])


def first_codec(weights: Weights) -> Weights | None:
    """Return the weights that others stand on; None where they refer to none.

    Raises:
        WeightsError: they are not installed, or have another codebook.
    """
    found = reference(weights.config.get("model"))
    if found is None:
        return None
    name, identity = found
    needs = f"{weights.folder}: stands on the codec '{name}' (codebook {identity})"
    beside = weights.folder.parent / name if NAME.fullmatch(name) else None
    try:
        first = read_weights(beside) if beside and (beside / CONFIG).is_file() else find_named(name)
    except WeightsError as error:
        raise WeightsError(f"{needs}, which is needed as well: {error}") from None
    if first.codebook_id.hex() != identity:
        raise WeightsError(
            f"{needs}, and the one in {first.folder} has codebook {first.codebook_id.hex()}; "
            "install the one that it was trained on"
        )
    return first


def read_verified(weights: Weights, name: str) -> bytes:
    """Return the bytes of one file of `weights`, its checksum verified.

    Raises:
        WeightsError: the file is missing, damaged, or not the one that the config names.
    """
    path = weights.folder / name
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise WeightsError(f"{path}: larger than the limit of {MAX_MODEL_BYTES >> 20} MiB")
        data = path.read_bytes()
    except FileNotFoundError:
        raise incomplete(weights.folder, f"{name}, which {CONFIG} names") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    if table_of(weights.config, "files").get(name) != hashlib.sha256(data).hexdigest():
        raise WeightsError(f"{path}: damaged, its SHA-256 is not the one in {CONFIG}")
    return data


def conditioner_of(model: Tree) -> Any:
    """Return the table of the conditioner in a ``model`` table, if there is one."""
    return model.get("conditioner", model.get("speaker"))  # as older weights call it


def codebook_id(codebook: bytes) -> bytes:
    """Return the first four bytes of the SHA-256 of the codebook(s)."""
    return hashlib.sha256(codebook).digest()[:4]
