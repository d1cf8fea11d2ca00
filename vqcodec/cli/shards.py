"""Token shards as inputs of `vqcodec decode`."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from vqcodec.cli.console import Move
from vqcodec.cli.jobs import STREAM, Job, is_folder
from vqcodec.cli.outcome import Facts, Work
from vqcodec.errors import FormatError, UsageError
from vqcodec.files.codes import Codes
from vqcodec.modality import by_axes

Decode = Callable[[Job, Codes, Move | None], Facts]


def holds_tokens(path: Path) -> bool:
    """Tell whether a path is a token shard, or a folder that `vqcodec tokenize` filled."""
    from vqcodec.tokens.manifest import MANIFEST, home
    from vqcodec.tokens.reading import is_shard

    return home(path, MANIFEST).is_file() or (path.is_file() and is_shard(path))


class Samples:
    """The samples of token shards, as jobs.

    Args:
        inputs: shards, and folders of them.
        output: a folder; of one sample, a file.
        key: of the one sample that is wanted; None for all.
        suffix: of outputs; None for the usual one of each kind.

    Raises:
        UsageError: it is not said where to write, or there is no such sample.
        FormatError: a shard is damaged, or a key is no name of a file.
    """

    def __init__(
        self, inputs: list[Path], output: Path | None, key: str | None, suffix: str | None
    ) -> None:
        from vqcodec.tokens.reading import find

        self._shards = [shard for path in inputs for shard in find(path)]
        self._key, self._output, self._suffix = key, output, suffix
        self._targets: dict[Path, Job] = {}
        for shard in self._shards:
            for name, codes in self._read(shard):
                job = self._job(shard, name, codes)
                if self._targets.setdefault(job.target, job) is not job:
                    other = self._targets[job.target].source
                    raise UsageError(f"{other} and {job.source} would both be {job.target}")
        self.jobs = list(self._targets.values())
        if not self.jobs:
            where = ", ".join(map(str, inputs))
            raise UsageError(f"{where}: no sample" + (f" has the key '{key}'" if key else " there"))

    def work(
        self, jobs: list[Job], decode: Decode
    ) -> Callable[[Move | None], Iterator[tuple[Job, Work]]]:
        """Return the work of jobs, as `work_off` takes it."""
        left = set(jobs)

        def work(bar: Move | None) -> Iterator[tuple[Job, Work]]:
            for shard in self._shards:
                for name, codes in self._read(shard):
                    job = self._job(shard, name, codes)
                    if job in left:
                        yield job, partial(decode, job, codes, bar)

        return work

    def _read(self, shard: Path) -> Iterator[tuple[str, Codes]]:
        from vqcodec.tokens.reading import read_codes

        try:
            for name, codes in read_codes(shard):
                if self._key is None or name == self._key:
                    yield name, codes
        except FormatError as error:
            told = str(error)
            raise FormatError(told if str(shard) in told else f"{shard}: {told}") from None

    def _job(self, shard: Path, name: str, codes: Codes) -> Job:
        from vqcodec.tokens.samples import fault_of

        if fault := fault_of(name):
            raise FormatError(f"{shard}: '{name}': {fault}")
        suffix = self._suffix or by_axes(codes.axes).suffix
        output = self._output
        if output is not None and self._key is not None and not is_folder(output):
            return Job(shard / name, output)
        if output is None or output == STREAM or not is_folder(output):
            raise UsageError("of token shards, name a folder of outputs with -o")
        return Job(shard / name, output / f"{name}{suffix}")
