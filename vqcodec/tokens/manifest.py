"""What a folder of token shards records: how all of them are made, and what became of each."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import vqcodec
from vqcodec.errors import OutputError
from vqcodec.tokens.commit import HOME, claim, committing
from vqcodec.tokens.settings import Settings

MANIFEST = "manifest.json"
VERSION = 1
PATIENCE = 30.0  # seconds to wait for another process to write the manifest


@dataclass(frozen=True)
class Record:
    """What became of a shard.

    Attributes:
        shard: its name.
        source: of what; the name of a tar, or "" where it is of loose files.
        source_bytes: how large the tar was.
        samples: how many were coded.
        errors: how many could not be.
        passed_over: how many hold nothing to code.
        indices: how many all maps hold.
    """

    shard: str
    source: str
    source_bytes: int
    samples: int
    errors: int
    passed_over: int
    indices: int


def home(output: Path, name: str) -> Path:
    """Return where something is kept that is no shard."""
    return output / HOME / name


def read_settings(output: Path) -> Settings | None:
    """Return how the shards in a folder are made; None where there is no manifest.

    Raises:
        OutputError: the manifest is damaged.
    """
    path = home(output, MANIFEST)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        told = {field.name: tree[field.name] for field in fields(Settings)}
        told |= {key: tuple(told[key]) for key in ("codebook_sizes", "keep")}
        return Settings(**told)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OutputError(f"{path}: no manifest that this version can read") from None


def begin(output: Path, settings: Settings) -> None:
    """Write the manifest of a folder, or check that the one which is there says the same.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    end, lock = time.monotonic() + PATIENCE, home(output, f"{MANIFEST}.claim")
    while True:
        with claim(lock) as ours:
            known = read_settings(output)
            if known is None and ours:
                check_fresh(output)
                _write(output, settings)
                known = settings
            if ours:
                lock.unlink(missing_ok=True)  # whoever waits for it sees the manifest
        if known is not None:
            check_same(output, known, settings)
            return
        if time.monotonic() > end:
            raise OutputError(f"{output}: another process is writing its manifest; try again")
        time.sleep(0.05)


def check_fresh(output: Path) -> None:
    """Raise OutputError unless a folder without a manifest is empty or not there."""
    if output.is_dir():
        other = min((p.name for p in output.iterdir() if p.name != HOME), default=None)
        if other:
            raise OutputError(
                f"{output}: holds '{other}' and no manifest of tokens; name a new folder"
            )
    elif output.exists():
        raise OutputError(f"{output}: is a file; name a folder")


def check_same(output: Path, known: Settings, wanted: Settings) -> None:
    """Raise OutputError unless shards can be added to a folder."""
    mine, theirs = asdict(wanted), asdict(known)
    for key, value in theirs.items():
        if mine[key] != value:
            if key == "loose":
                raise OutputError(
                    f"{output}: was begun with other files than lie in the input now, so that they "
                    "would be cut into shards at other places; name a new folder"
                )
            raise OutputError(
                f"{output}: its shards are of {key.replace('_', ' ')} {_plain(value)}, not "
                f"{_plain(mine[key])}; name a new folder"
            )


def write_record(output: Path, record: Record, errors: list[dict[str, str]]) -> None:
    """Write what became of a shard; its bad samples go to ``SHARD.errors.jsonl``."""
    path = home(output, f"{record.shard}.errors.jsonl")
    if errors:
        with committing(path, path) as file:
            for error in errors:
                file.write(json.dumps(error).encode() + b"\n")
    else:
        path.unlink(missing_ok=True)
    _dump(home(output, f"{record.shard}.json"), asdict(record))


def read_record(output: Path, shard: str) -> Record:
    """Return what became of a shard that is done.

    Raises:
        OutputError: nobody knows.
    """
    path = home(output, f"{shard}.json")
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise OutputError(f"{path}: cannot be read, though the shard is there") from None


def records(output: Path) -> Iterator[Record]:
    """Yield what became of all shards that were ever written, sorted by name."""
    for path in sorted((output / HOME).rglob("*.json")):
        shard = path.relative_to(output / HOME).as_posix().removesuffix(".json")
        if path.name != MANIFEST:
            yield read_record(output, shard)


def write_totals(output: Path, settings: Settings, found: list[Record]) -> None:
    """Add to the manifest how much there is in the shards of these records."""
    counts = ("samples", "errors", "passed_over", "indices")
    totals = {key: sum(getattr(record, key) for record in found) for key in counts}
    _write(output, settings, {"totals": {"shards": len(found), **totals}})


def _write(output: Path, settings: Settings, more: dict[str, Any] | None = None) -> None:
    told = {"manifest": VERSION, "vqcodec": vqcodec.__version__, **asdict(settings)}
    _dump(home(output, MANIFEST), told | (more or {}))


def _dump(path: Path, tree: dict[str, Any]) -> None:
    with committing(path, path) as file:
        file.write((json.dumps(tree, indent=1) + "\n").encode())


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
