"""`vqcodec evaluate --imagine`: frames imagined from the first ones of videos, beside the true."""

import hashlib
import io
import math
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.video import VideoCodec
from vqcodec.data.actions import Actions
from vqcodec.data.sources import Source, find_sources
from vqcodec.errors import MediaError
from vqcodec.evaluate.imagination.dynamics import InverseDynamics, shrunk
from vqcodec.evaluate.intervals import interval, resampled_means
from vqcodec.evaluate.journal import OURS, Bits, Measured, Record
from vqcodec.evaluate.report import page
from vqcodec.evaluate.results import digest
from vqcodec.evaluate.study import Study, named
from vqcodec.evaluate.table import sum_bits
from vqcodec.media.video import Video, open_video
from vqcodec.metrics.image import PSNR
from vqcodec.modality import VIDEO
from vqcodec.sampling.video import VideoSampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

GIVEN, IMAGINED = 6, 10  # frames, as in arXiv:1711.00937v2, section 4.4
LONGEST = 1 << 29  # bytes of pixels of a video
TRUE, WRONG, UNKNOWN, STILL = "true", "wrong", "unknown", "still"
LABELS = {
    OURS: "imagined",
    WRONG: "imagined with wrong actions",
    UNKNOWN: "imagined without actions",
    STILL: "the last frame given, again",
    TRUE: "the true frames, as codes tell them",
}
ALL = "frames and action"  # of what is told of those before
MEANS = """\
PSNR in dB of the frames after those given, to the true ones: means over videos, with a 95 %
bootstrap interval of the mean over all frames. Imagined: by the actions that were taken. Obeyed:
how often a small network that learned from true frames tells, between two frames, the action that
was asked for; with wrong actions, the wrong one."""


class ImaginationStudy(Study):
    """Videos cut into stretches; of each the first frames are given, and the rest imagined.

    Args:
        data: videos, folders (recursive) or uncompressed tars, with actions beside them.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        learn: the same as `data`, other videos: what tells actions apart learns from them.

    Raises:
        MediaError: there is no video.
        WeightsError: no such weights, or they imagine nothing.
    """

    lines, what = "imagined.jsonl", "videos"
    codec: VideoCodec

    def __init__(
        self, data: list[Path], folder: Path, *, model: str, learn: Path, device: str = "auto"
    ) -> None:
        """Find the videos, and load what imagines."""
        self.sampler = VideoSampler.load(model, device)
        self.actions = Actions(self.sampler.actions)
        self.learn = find_sources([learn], VIDEO)
        notes = [
            f"of {GIVEN + IMAGINED} frames each the first {GIVEN} are given; a wrong action is one "
            "further down the list than the right one, by the number of the stretch, also the seed"
        ]
        sources = named(find_sources(data, VIDEO))
        super().__init__(folder, self.sampler.codec, sources, [PSNR], notes)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on, but for the videos."""
        learned = digest(f"{source.name} {source.length}" for source in self.learn)
        return {**super().settings(), "set of videos to learn from": learned}

    @cached_property
    def dynamics(self) -> InverseDynamics:
        """What tells actions apart: it has seen true frames."""
        import numpy as np

        frames, pairs, actions, seen = [], [], [], 0
        for source in self.learn:
            pixels, told = self._read(source, source.name)
            frames.append(shrunk(pixels))
            some = np.flatnonzero(told[:-1])
            pairs.append(seen + some)
            actions.append(told[some] - 1)
            seen += len(pixels)
        network = InverseDynamics(len(self.actions.names))
        network.learn(np.concatenate(frames), np.concatenate(pairs), np.concatenate(actions))
        return network

    def measure(self, source: Source, name: str) -> Record:
        """Imagine from one video, stretch by stretch.

        Raises:
            MediaError: it cannot be read, is too short, or has no actions.
        """
        import numpy as np

        pixels, told = self._read(source, name)
        whole = GIVEN + IMAGINED
        starts = range(0, len(pixels) - whole + 1, whole)
        if not starts:
            raise MediaError(f"{name}: has {len(pixels)} frames, fewer than {whole}")
        found: dict[str, list[list[tuple[float, float | None]]]] = {v: [] for v in LABELS}
        used = Counter[int]()
        decoded = self._decoded(pixels)
        for number, start in enumerate(starts):
            stretch, seen = pixels[start : start + whole], decoded[start : start + whole]
            led = told[start + GIVEN - 1 : start + whole - 1]
            count = len(self.actions.names)
            others = 1 + (led + number % max(1, count - 1)) % count
            used.update(led.tolist())
            draw = SamplingParams(seed=number)
            asked: dict[str, list[str | None]] = {
                OURS: self._names(led),
                WRONG: self._names(others),
                UNKNOWN: [None] * IMAGINED,
            }
            rolled = {
                variant: np.stack(list(self.sampler.imagine(stretch[:GIVEN], actions, draw)))
                for variant, actions in asked.items()
            }
            rolled[STILL] = np.repeat(stretch[GIVEN - 1 : GIVEN], IMAGINED, 0)
            rolled[TRUE] = seen[GIVEN:]
            for variant, frames in rolled.items():
                meant = others if variant == WRONG else led
                obeyed = self.dynamics.tell(
                    shrunk(np.concatenate([seen[GIVEN - 1 : GIVEN], frames]))
                )
                found[variant].append(
                    [
                        (_psnr(a, b), None if variant == STILL or not w else float(o + 1 == w))
                        for a, b, o, w in zip(stretch[GIVEN:], frames, obeyed, meant, strict=True)
                    ]
                )
        measured = [
            Measured(variant, horizon, 0, {}, _means([own[horizon] for own in stretches]))
            for variant, stretches in found.items()
            for horizon in range(IMAGINED)
        ]
        return Record(
            name=name,
            identity=hashlib.sha256(pixels.tobytes()).hexdigest(),
            input_bytes=source.length,
            shape=pixels.shape[:3],
            usage=(dict(used),),
            bits=self._bits(pixels, told),
            measured=tuple(measured),
        )

    @cached_property
    def found(self) -> list[Record]:
        """All that was measured."""
        return list(self.journal.records())

    def summarise(self) -> dict[str, Any]:
        """Return means by what was imagined, and what actions tell."""
        import numpy as np

        psnr = {v: self._values(v, "psnr") for v in LABELS}
        drawn = resampled_means(np.stack([psnr[v].mean(1) for v in LABELS], 1))
        imagined = {}
        for column, (variant, label) in enumerate(LABELS.items()):
            obeyed = self._values(variant, "obeyed")
            imagined[variant] = {
                "name": label,
                "psnr": [round(float(v), 3) for v in psnr[variant].mean(0)],
                "mean": round(float(psnr[variant].mean()), 3),
                "interval": [round(end, 3) for end in interval(drawn[:, column])],
                "obeyed": None if variant == STILL else round(float(np.nanmean(obeyed)), 4),
            }
        used = Counter[int]()
        for record in self.found:
            used.update(record.usage[0])
        used.pop(0, None)
        bits = sum_bits(self.found)
        frames = sum(record.shape[0] - self._context for record in self.found)
        figures = {
            "given": GIVEN,
            "imagined": imagined,
            "commonest_action": round(max(used.values()) / used.total(), 4) if used else None,
            "bits_per_frame": {name: round(sum(cost) / frames, 1) for name, cost in bits.items()},
        }
        return self.tree(": imagined frames", figures, {"metrics": {"psnr": PSNR.source()}})

    def table(self) -> list[list[Any]]:
        """Return one row for each video, variant and frame."""
        rows: list[list[Any]] = [["video", "what", "frame", "psnr", "obeyed"]]
        for record in self.found:
            for m in record.measured:
                values = m.values.get("psnr"), m.values.get("obeyed")
                rows.append([record.name, LABELS[m.codec], m.point + 1, *values])
        return rows

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return means, and a row for each video."""
        rows = rows_of(tree)
        means = {"kind": "table", "title": "After the frames given", "text": MEANS}
        every = {
            "kind": "inputs",
            "title": "All videos",
            "text": "Mean PSNR in dB. Click a heading to sort, again for the other way round.",
            "columns": [{"head": "video"}, *({"head": h, "digits": 2} for h in LABELS.values())],
            "rows": [
                [record.name, *(_mean_of(record, variant) for variant in LABELS)]
                for record in self.found
            ],
        }
        shown = {**means, "head": rows[0], "rows": rows[1:]}
        return page(tree, "imagined frames", [], cards_of(tree), [shown, every])

    @property
    def _context(self) -> int:
        return self.sampler.prior.config.frames

    def _read(self, source: Source, name: str) -> "tuple[Pixels, NDArray[np.int64]]":
        """Return the frames of a video and their actions."""
        import numpy as np

        with open_video(io.BytesIO(source.read()), name) as reader:
            pixels = Video.of(reader, LONGEST).pixels
        told = self.actions.of(source, len(pixels))
        if told is None:
            raise MediaError(f"{name}: there are no actions beside it, in actions.csv or a .json")
        return pixels, np.array(told, np.int64)

    def _decoded(self, pixels: "Pixels") -> "Pixels":
        return self.codec.decode(self.codec.encode(pixels)).pixels

    def _names(self, numbers: "NDArray[np.int64]") -> list[str | None]:
        return [self.actions.names[number - 1] if number else None for number in numbers]

    @torch.inference_mode()
    def _bits(self, pixels: "Pixels", told: "NDArray[np.int64]") -> Bits:
        """Return what the codes of the frames cost that follow N others, by what is told of those.

        All N frames and the action; the frames alone; the last of them, fewer and fewer.
        """
        prior, device, n = self.sampler.prior, self.codec.device, self._context
        maps = [
            torch.from_numpy(grid.astype("int64")).to(device)
            for grid in self.codec.encode(pixels).grids
        ]
        led = torch.from_numpy(told)[n - 1 : -1].to(device)
        known = {ALL: (n, led)} | {_frames(k): (k, led * 0) for k in _fewer(n)}
        found = {}
        for name, (frames, action) in known.items():
            before = []
            for grid, size in zip(maps, prior.codebook_sizes, strict=True):
                windows = grid[:-1].unfold(0, n, 1).movedim(-1, 1).clone()
                windows[:, : n - frames] = size
                before.append(windows)
            walk = prior.walk(tuple(before), action)
            found[name] = tuple(float(walk.take(grid[n:]).bits.sum()) for grid in maps)
        return found

    def _values(self, variant: str, key: str) -> "NDArray[np.float64]":
        """Return figures of all videos, (N, horizons); NaN where there is none."""
        import numpy as np

        rows = [
            [m.values[key] for m in record.measured if m.codec == variant] for record in self.found
        ]
        return np.array(rows, np.float64)


def rows_of(tree: dict[str, Any]) -> list[list[str]]:
    """Return what a report says of each variant, the names of the columns first."""
    head = ["", *(f"frame {number}" for number in range(1, IMAGINED + 1)), "mean", "obeyed"]
    rows = [head]
    for own in tree["imagined"].values():
        low, high = own["interval"]
        obeyed = "" if own["obeyed"] is None else f"{100 * own['obeyed']:.0f} %"
        psnr = [f"{value:.2f}" for value in own["psnr"]]
        rows.append([own["name"], *psnr, f"{own['mean']:.2f} [{low:.2f}, {high:.2f}]", obeyed])
    return rows


def cards_of(tree: dict[str, Any]) -> list[list[str]]:
    """Return the figures that say most: a name, a figure and what to say of it."""
    imagined, bits = tree["imagined"], tree["bits_per_frame"]
    obeyed, true = (imagined[v]["obeyed"] for v in (OURS, TRUE))
    chance = tree["commonest_action"]
    return [
        ["Obeyed", f"{100 * obeyed:.1f} %", f"of true frames {100 * true:.1f} %"],
        ["Commonest action", f"{100 * chance:.1f} %", "of all"],
        ["PSNR", f"{imagined[OURS]['mean']:.2f} dB", f"{imagined[STILL]['mean']:.2f} dB if still"],
        ["Bits a frame", f"{bits[ALL]:,.0f}", "with the frames before and the action"],
        *(["", f"{cost:,.0f}", f"with {name}"] for name, cost in bits.items() if name != ALL),
    ]


def _frames(number: int) -> str:
    return f"{number} frame{'' if number == 1 else 's'} and no action"


def _fewer(number: int) -> list[int]:
    """Return numbers of frames, each half of the one before, down to none."""
    return [number, *_fewer(number // 2)] if number else [0]


def _psnr(original: "Pixels", other: "Pixels") -> float:
    value = PSNR.measure(original, other)
    return 100.0 if value is None else value  # nothing was lost


def _means(values: list[tuple[float, float | None]]) -> dict[str, float | None]:
    """Return the means of what was measured on some stretches."""
    psnr, obeyed = zip(*values, strict=True)
    told = [o for o in obeyed if o is not None]
    return {
        "psnr": math.fsum(psnr) / len(psnr),
        "obeyed": math.fsum(told) / len(told) if told else None,
    }


def _mean_of(record: Record, variant: str) -> float:
    values = [m.values["psnr"] or 0.0 for m in record.measured if m.codec == variant]
    return math.fsum(values) / len(values)
