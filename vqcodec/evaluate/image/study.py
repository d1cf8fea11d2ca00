"""`vqcodec evaluate` on pictures, beside other codecs at equal bytes."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from vqcodec.codec.image import ImageCodec
from vqcodec.data.sources import Source, find_sources
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.image import gallery, page, plot
from vqcodec.evaluate.image.baselines import Baseline, find_baselines
from vqcodec.evaluate.image.points import Point, open_picture, points_of, through_file
from vqcodec.evaluate.journal import OURS, PICTURES, Measured, Record, count_used
from vqcodec.evaluate.results import BASELINES
from vqcodec.evaluate.study import Study, named
from vqcodec.evaluate.summary import summarise_baseline, summarise_codec, summarise_codes
from vqcodec.evaluate.table import BYTES, RATE, Table, count_codes, sum_bits
from vqcodec.media.image import Image
from vqcodec.metrics.image import Metric, find_metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Result = TypeVar("Result")


class ImageStudy(Study):
    """Pictures through a codec, and through others at the bytes that it used.

    Args:
        data: pictures, folders (recursive) or uncompressed tars.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        against: names of `baselines.BASELINES`.
        points: ways to code, that of the highest rate last.

    Raises:
        MediaError: there is no picture.
        UsageError: no such codec to compare with.
        WeightsError: no such weights.
    """

    lines, what = PICTURES, "pictures"
    codec: ImageCodec
    metrics: Sequence[Metric]

    def __init__(
        self,
        data: list[Path],
        folder: Path,
        *,
        model: str,
        against: list[str],
        points: tuple[Point, ...] = points_of([], []),
        device: str = "auto",
    ) -> None:
        """Find the pictures, and load what they go through."""
        sources = named(find_sources(data))
        self.baselines, notes = find_baselines(against)
        metrics, missing = find_metrics()
        super().__init__(
            folder, ImageCodec.load(model, device), sources, metrics, [*notes, *missing]
        )
        self.points, self.bits = points, BitMeter(self.codec)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on, but for the pictures."""
        return {
            **super().settings(),
            "points": {p.label: p.setting for p in self.points},
            "set of codecs": {b.name: b.version() for b in self.baselines},
        }

    def measure(self, source: Source, name: str) -> Record:
        """Measure one picture.

        Raises:
            MediaError: it cannot be read.
        """
        image = open_picture(source, name)
        made = [through_file(self.codec, image, point) for point in self.points]
        limits = [size for size, _, _ in made]
        codes = made[-1][2]
        bits = _start(partial(self.bits.measure, codes))
        others = [_start(partial(self._against, b, image, limits)) for b in self.baselines]
        ours = [
            Measured(OURS, number, size, point.setting, self._values(image, back))
            for number, (point, (size, back, _)) in enumerate(zip(self.points, made, strict=True))
        ]
        return Record(
            name=name,
            identity=_identity(image.pixels),
            input_bytes=source.length,
            shape=image.size,
            usage=count_used(codes),
            bits=bits.result(),
            measured=(*ours, *(m for found in others for m in found.result())),
        )

    def _against(self, baseline: Baseline, image: Image, limits: list[int]) -> list[Measured]:
        found = []
        for number, coded in enumerate(baseline.encode(image, limits)):
            if coded is not None:
                values = self._values(image, coded.image)
                setting = asdict(coded.setting)
                found.append(Measured(baseline.name, number, coded.bytes, setting, values))
        return found

    def _values(self, image: Image, other: Image) -> dict[str, float | None]:
        return {m.key: m.measure(image.pixels, other.pixels) for m in self.metrics}

    @cached_property
    def found(self) -> Table:
        """All that was measured."""
        codecs = [OURS, *(b.name for b in self.baselines)]
        keys = [m.key for m in self.metrics]
        return Table.collect(self.journal.records(), codecs, len(self.points), keys)

    def summarise(self) -> dict[str, Any]:
        """Return the curves of all codecs, and how ours differs from the others."""
        self._note_lacking()
        ours = summarise_codec(self.found, OURS)
        described = {}
        for b in self.baselines:
            text = f"{b.label}, {b.version()}, {b.told}: best PSNR at vqcodec's bytes"
            summary = summarise_baseline(self.found, b.name, ours)
            described[b.name] = {"name": b.label, "description": text, **summary}
        usage = count_codes(self.journal.records(), self.codec.codebook_sizes)
        more = {
            "points": [p.label for p in self.points],
            "metrics": {m.key: m.source() for m in self.metrics},
            "intervals": ours["intervals"],
            "codes": summarise_codes(usage, sum_bits(self.journal.records())),
            BASELINES: described,
        }
        return self.tree(", .vqc files", {"results": ours["results"]}, more)

    def _note_lacking(self) -> None:
        """Say which metrics lack for how many pictures."""
        import numpy as np

        for metric in self.metrics:
            lacking = int(np.isnan(self.found.column(OURS, metric.key)[:, -1]).sum())
            if lacking:
                self.notes.append(
                    f"{metric.label} is not defined for {lacking:,} of "
                    f"{len(self.found.names):,} pictures: it needs sides of {metric.smallest} "
                    f"pixels, and at most {metric.largest >> 20} megapixels"
                )

    def table(self) -> list[list[Any]]:
        """Return one row for each picture, codec and point."""
        keys = [m.key for m in self.metrics]
        head = ["picture", "height", "width", "codec", "point", "quality", "scale"]
        rows: list[list[Any]] = [[*head, BYTES, RATE, *keys]]
        for record in self.journal.records():
            for m in record.measured:
                setting = [m.setting.get("quality"), m.setting["scale"]]
                rate = round(8 * m.bytes / record.units, 6)
                row = [*record.shape, m.codec, self.points[m.point].label, *setting]
                rows.append([record.name, *row, m.bytes, rate, *map(m.values.get, keys)])
        return rows

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return curves, pictures to look at, and a row for each."""
        items = gallery.build(
            gallery.choose(self.found),
            self.journal.records(),
            self.sources,
            self.codec,
            self.points,
            self.baselines,
        )
        return page.build(tree, self.metrics, self.found, items, self.journal.folder / plot.SVG)

    def write(self, tree: dict[str, Any]) -> None:
        """Write the report, with plots of the curves where matplotlib is installed.

        Raises:
            OutputError: a file cannot be written.
        """
        try:
            plot.draw(self.journal.folder, tree, self.metrics)
        except ImportError:
            self.notes.append("plots are left out: need pip install 'vqcodec[evaluate]'")
        super().write(tree)


def _start(work: Callable[[], Result]) -> "Future[Result]":
    """Do work in a thread of its own.

    It is a daemon: where an executor would first finish what is under way, minutes on a large
    picture, Ctrl-C ends the program at once.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is raised again where the result is asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _identity(pixels: "NDArray[np.uint8]") -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()[:32]
