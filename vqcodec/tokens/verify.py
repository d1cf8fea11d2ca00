"""Samples drawn from shards that are done, beside their originals."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vqcodec.errors import FormatError
from vqcodec.modality import load
from vqcodec.tokens.encode import target
from vqcodec.tokens.manifest import read_record
from vqcodec.tokens.reading import read_codes
from vqcodec.tokens.samples import Samples
from vqcodec.tokens.task import Task

if TYPE_CHECKING:
    from vqcodec.files.codes import Codes


def draw(task: Task, number: int, seed: int = 0) -> "Iterator[tuple[str, bytes, Codes]]":
    """Yield name and bytes of media, and the codes that there are of them.

    Args:
        task: of which the shards that are done count.
        number: how many samples, if there are as many.
        seed: the same one draws the same ones.

    Raises:
        FormatError: a sample is in a shard and not in its source.
        MediaError: a source is damaged.
    """
    done = [shard for shard in task.shards if task.is_done(shard)]
    counts = [read_record(task.output, shard.name).samples for shard in done]
    chosen = sorted(random.Random(seed).sample(range(sum(counts)), min(number, sum(counts))))
    suffixes = load(task.modality.suffixes)()
    start = 0
    for shard, count in zip(done, counts, strict=True):
        places = {place - start for place in chosen if start <= place < start + count}
        start += count
        if not places:
            continue
        shards = read_codes(target(task.output, shard, task.settings))
        wanted = {key: codes for i, (key, codes) in enumerate(shards) if i in places}
        for sample in Samples(shard, suffixes, wanted=wanted.__contains__):
            if not sample.problem and sample.key in wanted:
                yield sample.name, sample.data, wanted.pop(sample.key)
        if wanted:
            raise FormatError(f"{shard.path}: has no '{next(iter(wanted))}', though its shard has")
