"""Models on the same pictures: bounds in bits per dimension, with standard errors."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vqcodec
from vqcodec.codec.device import choose_device
from vqcodec.data.sources import Source, find_sources
from vqcodec.errors import MediaError, OutputError, UsageError
from vqcodec.evaluate.bound.gaussian import Gaussian
from vqcodec.evaluate.bound.measures import SAMPLES, Bounds, measure
from vqcodec.evaluate.results import write_rows
from vqcodec.files.atomic import writing
from vqcodec.media.image import Image
from vqcodec.modality import IMAGE
from vqcodec.weights import Weights, find_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Values = NDArray[np.float64]

RESULTS = "bounds.json"


class BoundStudy:
    """Pictures through several models with likelihoods.

    Args:
        data: pictures; of each, the middle square is measured, at the side that the first model
            was measured at when it was trained.
        folder: of the figures; made if missing.
        models: weights, names or folders; the others are compared with the first.
        gaussian: pictures to fit a Gaussian of full covariance to, which stands beside them.
        device: where to compute.
        samples: of the multi-sample bound of VAEs; 0 for no such bound.
        force: replace figures that are there.

    Raises:
        WeightsError: no such weights, or not of pictures.
        OutputError: the folder holds figures, and `force` is not given.
    """

    def __init__(
        self,
        data: list[Path],
        folder: Path,
        *,
        models: list[str],
        gaussian: Path | None = None,
        device: str = "auto",
        samples: int = SAMPLES,
        force: bool = False,
    ) -> None:
        self.samples = samples
        self.data, self.folder, self.gaussian = data, folder, gaussian
        self.models = [find_weights(name) for name in models]
        for weights in self.models:
            if weights.modality != IMAGE.name:
                raise UsageError(f"'{weights.name}' codes {weights.modality}, not {IMAGE.codes}")
        self.device = choose_device(device)
        if (folder / RESULTS).exists() and not force:
            raise OutputError(f"{folder}: holds figures already; use --force to replace them")

    def run(self, progress: Callable[[float], None] = lambda done: None) -> dict[str, Any]:
        """Measure, write ``bounds.json`` and ``results.csv``, and return the former's tree.

        Raises:
            MediaError: fewer than two pictures can be read.
            UsageError: a model has no likelihood, or pictures do not fit its stride.
            OutputError: a file cannot be written.
        """
        side = self.models[0].held_out_side
        names, pixels, left_out = squares(self.data, side)
        if len(pixels) < 2:
            raise MediaError("two pictures are needed at least: each is tried on another's latents")
        found = []
        for number, weights in enumerate(self.models):
            self._check_side(weights, side)

            def part(done: float, number: int = number) -> None:
                progress((number + done) / len(self.models))

            found.append(measure(weights, pixels, self.device, self.samples, part))
        baseline = None
        if self.gaussian is not None:
            _, known, missed = squares([self.gaussian], side)
            left_out += missed
            baseline = Gaussian.fit(known).bits_per_dim(pixels)
        tree = {
            "vqcodec": vqcodec.__version__,
            "pictures": len(pixels),
            "side": side,
            "models": summarise(found, baseline),
            "left_out": left_out,
        }
        self._write(tree, names, found)
        return tree

    def _check_side(self, weights: Weights, side: int) -> None:
        stride = max((max(m["stride"]) for m in weights.config.get("maps", [])), default=1)
        if side % stride:
            raise UsageError(f"'{weights.name}' takes multiples of {stride} pixels, not {side}")

    def _write(self, tree: dict[str, Any], names: list[str], found: list[Bounds]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be made ({error.strerror})") from None
        rows: list[list[Any]] = [
            ["model", "picture", "rate", "distortion", "swapped", "tighter_bound"]
        ]
        for own in found:
            for row, name in enumerate(names):
                values = [own.rate, own.distortion, own.swapped]
                last = "" if own.tighter is None else own.tighter[row]
                rows.append([own.name, name, *(float(v[row]) for v in values), last])
        write_rows(self.folder, rows)
        with writing(self.folder / RESULTS, force=True) as file:
            file.write((json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())


def summarise(found: list[Bounds], gaussian: "Values | None" = None) -> list[dict[str, Any]]:
    """Return the row of each model: means over pictures, each with its standard error.

    Bounds are in bits per dimension, as is ``less``, a model's bound less the first one's, picture
    by picture; ``rate``, ``distortion`` and ``gap`` are in bits a picture.
    """
    first = found[0].bound / found[0].dimensions
    rows = []
    for own in found:
        bound = own.bound / own.dimensions
        row: dict[str, Any] = {"name": own.name, "bound": estimate(bound)}
        row["less"] = estimate(bound - first)
        if own.tighter is not None:
            row["tighter"] = estimate(own.tighter / own.dimensions)
            row["how"] = own.how
        row |= {key: estimate(getattr(own, key)) for key in ("rate", "distortion", "gap")}
        rows.append({**row, "used": own.used})
    if gaussian is not None:
        rows.append(
            {"name": "Gaussian", "bound": estimate(gaussian), "less": estimate(gaussian - first)}
        )
    return rows


def estimate(values: "Values") -> list[float]:
    """Return mean and standard error of values."""
    return [float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))]


def squares(data: list[Path], side: int) -> "tuple[list[str], Pixels, list[str]]":
    """Return names and middle squares, (N, 3, side, side), of pictures, and what cannot be read.

    Raises:
        MediaError: none can be read.
    """
    import numpy as np

    names, found, left_out = [], [], []
    for source in find_sources(data, IMAGE):
        try:
            found.append(_square(source, side))
            names.append(source.name)
        except MediaError as error:
            left_out.append(str(error))
    if not found:
        raise MediaError(f"none of the {len(left_out)} pictures can be read; {left_out[0]}")
    return names, np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2)), left_out


def _square(source: Source, side: int) -> "Pixels":
    image = Image.open(io.BytesIO(source.read()), source.name)
    short = min(image.size)
    top, left = ((n - short) // 2 for n in image.size)
    return Image(image.pixels[top : top + short, left : left + short]).resize((side, side)).pixels
