"""`vqcodec evaluate` on video, beside other codecs at equal bytes."""

import hashlib
import io
import math
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.codec.video import VideoCodec
from vqcodec.coding.framemodel import FrameModel
from vqcodec.coding.movingmodel import MovingModel
from vqcodec.data.sources import Source, find_sources
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.journal import OURS, Bits, Measured, Record, count_used
from vqcodec.evaluate.report import card, code_cards, figure, heads, inputs, page
from vqcodec.evaluate.results import BASELINES
from vqcodec.evaluate.study import Study, named
from vqcodec.evaluate.summary import summarise_codec, summarise_codes, summarise_other
from vqcodec.evaluate.table import BYTES, RATE, Table, count_codes, sum_bits
from vqcodec.evaluate.video.baselines import find_baselines
from vqcodec.files import interframe, moving
from vqcodec.files.codes import Codes
from vqcodec.files.videostream import frames_of
from vqcodec.framepriors import frame_prior
from vqcodec.media.video import Video, open_video
from vqcodec.metrics.video import VideoMetric, find_metrics
from vqcodec.modality import VIDEO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VIDEOS = "videos.jsonl"
LONGEST = 1 << 29  # bytes of pixels of a video that are measured
MEANS = """\
Means over videos with 95 % bootstrap intervals. The other codecs code the same frames with their
own motion compensation, as well as fits the bytes of vqcodec's whole file; of them the packets are
counted, without a container. Flicker: by how much pixels change from frame to frame where those of
the original stand still. Signed: vqcodec less the other; green where vqcodec is better, and the
interval leaves no doubt."""
INPUTS = """\
Click a heading to sort, again for the other way round. Columns with two names: vqcodec less the
other."""


class VideoStudy(Study):
    """Videos through a codec, and through others.

    Args:
        data: videos, folders (recursive) or uncompressed tars.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        against: names of `baselines.BASELINES`.

    Raises:
        MediaError: there is no video.
        UsageError: no such codec to compare with.
        WeightsError: no such weights.
    """

    lines, what = VIDEOS, "videos"
    codec: VideoCodec
    metrics: Sequence[VideoMetric]

    def __init__(
        self,
        data: list[Path],
        folder: Path,
        *,
        model: str,
        against: list[str],
        device: str = "auto",
    ) -> None:
        """Find the videos, and load what they go through."""
        sources = named(find_sources(data, VIDEO))
        self.baselines, notes = find_baselines(against)
        metrics, missing = find_metrics()
        codec = VideoCodec.load(model, device)
        super().__init__(folder, codec, sources, metrics, [*notes, *missing])
        self.bits = BitMeter(self.codec)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on, but for the videos."""
        codecs = {b.name: b.version() for b in self.baselines}
        return {**super().settings(), "set of codecs": codecs}

    def measure(self, source: Source, name: str) -> Record:
        """Measure one video.

        Raises:
            MediaError: it cannot be read.
        """
        pixels = _beginning(source, name)
        codes = self.codec.encode(pixels)
        data = codes.to_bytes(".vqc")
        decoded = self.codec.decode(Codes.from_bytes(data, name)).pixels
        measured = [Measured(OURS, 0, len(data), {}, self._values(pixels, decoded))]
        for baseline in self.baselines:
            if (found := baseline.encode(pixels, len(data))) is not None:
                size, crf, frames = found
                values = self._values(pixels, frames)
                measured.append(Measured(baseline.name, 0, size, {"crf": crf}, values))
        return Record(
            name=name,
            identity=hashlib.sha256(pixels.tobytes()).hexdigest(),
            input_bytes=source.length,
            shape=pixels.shape[:3],
            usage=count_used(codes),
            bits={**self.bits.measure(codes), **_persistence(codes), **self._told_by_frames(codes)},
            measured=tuple(measured),
        )

    def _values(
        self, original: "NDArray[np.uint8]", other: "NDArray[np.uint8]"
    ) -> dict[str, float | None]:
        return {m.key: m.measure(original, other) for m in self.metrics}

    def _told_by_frames(self, codes: Codes) -> Bits:
        """Return what codes cost under a prior of successive frames, and without them."""
        model = frame_prior(self.codec.weights)
        if isinstance(model, MovingModel):
            step = frames_of(self.codec.maps, codes.video.coded_size[1:])
            starts = range(0, len(codes.grids[0]), step)
            groups = ([grid[s : s + step] for grid in codes.grids] for s in starts)
            each = [moving.bits(group, model, codes.condition).sum(0) for group in groups]
            return {"frame prior": tuple(float(own) for own in sum(each))}
        if not isinstance(model, FrameModel) or codes.grids[0][0].size > interframe.MAX_CELLS:
            return {}
        (grid,) = codes.grids
        told = {"frame prior, each frame alone": 0, "frame prior": model.frames}
        return {name: (float(interframe.bits(grid, model, n).sum()),) for name, n in told.items()}

    @cached_property
    def found(self) -> Table:
        """All that was measured."""
        codecs = [OURS, *(b.name for b in self.baselines)]
        keys = [m.key for m in self.metrics]
        return Table.collect(self.journal.records(), codecs, 1, keys)

    def summarise(self) -> dict[str, Any]:
        """Return the means of all codecs, and how ours differs from the others."""
        ours = summarise_codec(self.found, OURS)
        described = {}
        for b in self.baselines:
            summary = summarise_other(self.found, b.name, ours)
            text = f"{b.label}, {b.version()}: the best at vqcodec's bytes"
            described[b.name] = {"name": b.label, "description": text, **summary}
            if (lacking := len(self.found.names) - summary["fits"][0]) > 0:
                self.notes.append(f"{b.label} makes no files as small of {lacking:,} videos")
        usage = count_codes(self.journal.records(), self.codec.codebook_sizes)
        more = {
            "points": ["as it is"],
            "metrics": {m.key: m.source() for m in self.metrics},
            "intervals": ours["intervals"],
            "frames": sum(shape[0] for shape in self.found.shapes),
            "codes": summarise_codes(usage, sum_bits(self.journal.records())),
            BASELINES: described,
        }
        return self.tree(", .vqc files", {"results": ours["results"]}, more)

    def table(self) -> list[list[Any]]:
        """Return one row for each video and codec."""
        keys = [m.key for m in self.metrics]
        head = ["video", "frames", "height", "width", "codec", BYTES, RATE, *keys]
        rows: list[list[Any]] = [head]
        for record in self.journal.records():
            for m in record.measured:
                rate = round(8 * m.bytes / record.units, 6)
                values = map(m.values.get, keys)
                rows.append([record.name, *record.shape, m.codec, m.bytes, rate, *values])
        return rows

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return means, and a row for each video."""
        shown = [m for m in self.metrics if m.key in tree["results"]]
        more = tree["evaluation"]
        every = {OURS: {**more, "results": tree["results"], "name": more["model"]}}
        every |= more[BASELINES]
        arrows = [
            f"{head} ↓" if m.less_is_better else head
            for head, m in zip(heads(shown), shown, strict=True)
        ]
        means = {
            "kind": "table",
            "title": "Rate and quality",
            "text": MEANS,
            "head": ["codec", BYTES, RATE, *arrows],
            "rows": [_row(name, codec, shown) for name, codec in every.items()],
        }
        labels = {name: codec["name"] for name, codec in more[BASELINES].items()}
        rows = inputs(self.found, shown, labels, (RATE, 3))
        rows["columns"].insert(1, {"head": "frames"})
        for row, shape in zip(rows["rows"], self.found.shapes, strict=True):
            row.insert(1, [shape[0], f"{shape[0]} of {shape[2]}×{shape[1]}"])
        cards = [card(m, tree["results"][m.key][0], more["intervals"][m.key][0]) for m in shown]
        cards.append(["Rate", f"{tree['results'][RATE][0]:.3f} bpp", "whole files"])
        parts = [means, {"kind": "inputs", "title": "All videos", "text": INPUTS, **rows}]
        return page(tree, "", shown, cards + code_cards(more["codes"]), parts)


def _row(name: str, codec: dict[str, Any], metrics: Sequence[VideoMetric]) -> list[Any]:
    """Return the means of one codec."""
    results = {key: values[0] for key, values in codec["results"].items()}
    ends = {key: values[0] for key, values in codec["intervals"].items()}
    gains = {} if name == OURS else {k: v[0] for k, v in codec["difference"].items()}
    size = f"{results[BYTES]:,.0f}" if BYTES in results else ""
    rate = f"{results[RATE]:.3f}" if RATE in results else ""
    cells = [figure(m, results.get(m.key), ends.get(m.key), gain=gains.get(m.key)) for m in metrics]
    return [codec["name"], size, rate, *cells]


def _beginning(source: Source, name: str) -> "NDArray[np.uint8]":
    """Return the frames of a video, (T, H, W, 3), of a long one the first."""
    with open_video(io.BytesIO(source.read()), name) as reader:
        height, width = reader.size
        most = max(2, LONGEST // (3 * height * width))
        reader.pictures = islice(reader.pictures, most)
        return Video.of(reader).pixels


def _persistence(codes: Codes) -> Bits:
    """Return the bits of codes under the simplest prior that has seen the frame before.

    It knows with which share of all places the code is that of the frame before, and of the others
    how often each code occurs.
    """
    import numpy as np

    costs = []
    for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True):
        same = grid[1:] == grid[:-1]
        others = np.bincount(np.concatenate([grid[0].ravel(), grid[1:][~same]]), minlength=size)
        share = others[others > 0] / max(1, others.sum())
        bits = float(others.sum() * -(share * np.log2(share)).sum())
        if same.size and 0 < (p := float(same.mean())) < 1:
            bits += same.size * (-p * math.log2(p) - (1 - p) * math.log2(1 - p))
        costs.append(bits)
    return {"same place in the frame before": tuple(costs)}
