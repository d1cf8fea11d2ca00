"""One shard of media to one of indices."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.errors import VqcodecError
from vqcodec.tokens.commit import HOME, committing, sweep
from vqcodec.tokens.entry import Entry
from vqcodec.tokens.formats import find_format
from vqcodec.tokens.inputs import Shard
from vqcodec.tokens.manifest import Record, write_record
from vqcodec.tokens.samples import Sample, Samples
from vqcodec.tokens.settings import Settings

if TYPE_CHECKING:
    from vqcodec.codec.base import BaseCodec

Tell = Callable[[float, int, int], None]  # part of the shard that is done, samples, errors
OFTEN = 0.25  # seconds between tellings


def target(output: Path, shard: Shard, settings: Settings) -> Path:
    """Return where a shard goes: if it is there, it is done."""
    return output / find_format(settings.format).name_of(shard.name)


def working_name(output: Path, shard: Shard, settings: Settings) -> Path:
    """Return what the claim and the temporary file of a shard are named after."""
    return output / HOME / target(Path(), shard, settings)


def encode_shard(
    codec: "BaseCodec",
    shard: Shard,
    output: Path,
    settings: Settings,
    suffixes: frozenset[str],
    tell: Tell,
) -> Record:
    """Code the samples of a shard, and commit what came of them.

    The bytes follow from the shard and the settings alone. What had been left of the shard by a
    process that was killed is removed.

    Args:
        codec: with what; on one thread, see `codec.device.one_thread`.
        shard: what to code.
        output: the folder of all output.
        settings: how.
        suffixes: of media.
        tell: is told from time to time how far it is; what it raises ends the work.

    Raises:
        MediaError: the shard is damaged, or changed while it was read.
        OutputError: it cannot be written.
    """
    path, temporary = target(output, shard, settings), working_name(output, shard, settings)
    sweep(temporary)
    samples = Samples(shard, suffixes, settings.keep, last_dot=settings.format == "shar")
    errors: list[dict[str, str]] = []
    coded = indices = passed_over = 0
    told = time.monotonic()
    with committing(path, temporary) as file:
        writer = find_format(settings.format).Writer(file, settings, codec.maps)
        for sample, entry in _entries(codec, samples, settings):
            if isinstance(entry, str):
                writer.skip(sample.key)
                passed_over += sample.foreign
                if not sample.foreign:
                    errors.append({"key": sample.key, "file": sample.name, "error": entry})
            else:
                writer.write(entry)
                coded += 1
                indices += sum(grid.size for grid in entry.maps)
            if time.monotonic() - told > OFTEN:
                tell(sample.done, coded, len(errors))
                told = time.monotonic()
        tell(1.0, coded, len(errors))
        writer.close()
        tar = shard.path if shard.files is None else None
        size = tar.stat().st_size if tar else 0
        counts = coded, len(errors), passed_over, indices
        record = Record(shard.name, tar.name if tar else "", size, *counts)
        write_record(output, record, errors)  # before the shard itself, which is the commit
    return record


def _entries(
    codec: "BaseCodec", samples: Samples, settings: Settings
) -> Iterator[tuple[Sample, Entry | str]]:
    """Yield each sample, in order, with what it became, or why it became nothing."""
    waiting: deque[Sample] = deque()

    def files() -> Iterator[tuple[str, bytes]]:
        for sample in samples:
            waiting.append(sample)
            if not sample.problem:
                data, sample.data = sample.data, b""
                yield sample.name, data
                del data

    for codes in codec.encode_files(files()):
        while waiting[0].problem:
            yield waiting[0], waiting.popleft().problem
        sample = waiting.popleft()
        if isinstance(codes, VqcodecError):
            yield sample, str(codes)
        else:
            more = sample.kept | ({"vqc": codes.to_bytes(".vqc")} if settings.vqc else {})
            yield sample, Entry.of(sample.key, codes, more)
    for sample in waiting:
        yield sample, sample.problem
