"""What is to be tokenised: tars, a shard each, and the loose files of folders, cut into shards."""

import contextlib
import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqcodec.data.sources import TAR, is_hidden, walk
from vqcodec.errors import MediaError, UsageError, WeightsError
from vqcodec.modality import MODALITIES, Modality, by_name, load
from vqcodec.weights import Weights


@dataclass(frozen=True)
class Shard:
    """One shard of the input, which becomes one of the output.

    Attributes:
        name: its path in the output, without a suffix.
        path: a tar, or the folder that `files` lie in.
        files: loose files by their paths below the folder, in order; None of a tar.
    """

    name: str
    path: Path
    files: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """All shards.

    Attributes:
        shards: in order, their names distinct.
        digest: of the names of all loose files, since where they are cut depends on every one of
            them; empty where there are none.
        passed_over: files that are neither media nor tars, by suffix.
    """

    shards: tuple[Shard, ...]
    digest: str
    passed_over: Counter[str]


def find_shards(paths: list[Path], modality: Modality, shard_size: int) -> Inputs:
    """Find what is to be tokenised.

    Args:
        paths: tars, media files, and folders of both (searched recursively).
        modality: which media count.
        shard_size: how many loose files make a shard.

    Raises:
        MediaError: there is no such path, or nothing to tokenise.
        UsageError: two shards, or two loose files, would bear one name.
    """
    suffixes, passed_over = load(modality.suffixes)(), Counter[str]()
    shards: list[Shard] = []
    digest = hashlib.sha256()
    for path in paths:
        tars, loose = _look(path, suffixes, passed_over)
        root = path if path.is_dir() else path.parent
        shards += [Shard(os.path.splitext(name)[0], root / name) for name in tars]
        _check_keys(root, loose)
        for file in loose:
            digest.update(os.fsencode(file) + b"\0")
        for number, start in enumerate(range(0, len(loose), shard_size)):
            files = tuple(loose[start : start + shard_size])
            shards.append(Shard(f"{number:05}", root, files))
    if not shards:
        raise MediaError(f"{', '.join(map(str, paths))}: no {modality.file}s and no tars found")
    _check_distinct(shards)
    loose_there = any(shard.files is not None for shard in shards)
    return Inputs(tuple(shards), digest.hexdigest() if loose_there else "", passed_over)


def find_modality(paths: list[Path], kinds: Sequence[Modality] = MODALITIES) -> Modality:
    """Return the one of these kinds of media that comes first in tars and folders.

    Where there is none of them, it is the first of all.
    """
    if len(kinds) == 1:
        return kinds[0]
    by_suffix = {suffix: kind for kind in reversed(kinds) for suffix in load(kind.suffixes)()}
    for path in paths:
        tars, loose = _look(path, frozenset(by_suffix), Counter())
        root = path if path.is_dir() else path.parent
        members = (source.name for tar in tars for source in walk(root / tar))
        for name in itertools.chain(loose, members):
            if found := by_suffix.get(os.path.splitext(name)[1].lower()):
                return found
    return kinds[0]


def kinds_of(weights: Weights) -> list[Modality]:
    """Return the kinds of media that weights code.

    Raises:
        WeightsError: nobody knows such a kind.
    """
    kinds = []
    for modality in MODALITIES:
        with contextlib.suppress(WeightsError):
            weights.check(modality)
            kinds.append(modality)
    return kinds or [by_name(weights.modality)]


def key_of(name: str) -> str:
    """Return the key of a loose file: its path without suffix, and without dots.

    Readers of WebDataset take for the key what stands before the first dot of a name.
    """
    return os.path.splitext(name)[0].replace(".", "_")


def _look(
    root: Path, suffixes: frozenset[str], passed_over: Counter[str]
) -> tuple[list[str], list[str]]:
    """Return the tars and the media files below a path, sorted, by their paths below it."""
    if root.is_file():
        names = [root.name]
    elif root.is_dir():
        names = []
        for folder, folders, files in os.walk(root, onerror=_raise):
            folders[:] = [f for f in folders if not is_hidden(f)]
            below = os.path.relpath(folder, root)
            names += [f if below == "." else os.path.join(below, f) for f in files]
        names = sorted(name.replace(os.sep, "/") for name in names)
    else:
        raise MediaError(f"{root}: no such file or folder")
    tars, loose = [], []
    for name in names:
        suffix = os.path.splitext(name)[1].lower()
        if is_hidden(os.path.basename(name)) and not root.is_file():
            passed_over["hidden"] += 1
        elif suffix == TAR:
            tars.append(name)
        elif suffix in suffixes:
            loose.append(name)
        else:
            passed_over[suffix or "without suffix"] += 1
    return tars, loose


def _raise(error: OSError) -> None:
    raise MediaError(f"{error.filename}: cannot be read ({error.strerror})")


def _check_keys(root: Path, files: list[str]) -> None:
    """Raise UsageError if two loose files would have one key."""
    known: dict[str, str] = {}
    for file in files:
        other = known.setdefault(key_of(file), file)
        if other != file:
            raise UsageError(
                f"{root}: {other} and {file} would both have the key '{key_of(file)}'; "
                "rename one of them"
            )


def _check_distinct(shards: list[Shard]) -> None:
    known: dict[str, Shard] = {}
    for shard in shards:
        other = known.setdefault(shard.name, shard)
        if other is not shard:
            raise UsageError(
                f"{other.path} and {shard.path} both hold a shard '{shard.name}'; "
                "tokenise them into folders of their own"
            )
