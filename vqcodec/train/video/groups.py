"""Groups of frames that training walks through, a frame of each at a time."""

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image as Pillow

from vqcodec.codec.motion import CANDIDATES, SIDE, Reference
from vqcodec.config import check_range
from vqcodec.data.sources import Source
from vqcodec.errors import MediaError
from vqcodec.media.image import Image
from vqcodec.media.video import open_video
from vqcodec.models.moving import VECTORS
from vqcodec.train.image.data import CACHE_BYTES, Pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vqcodec.train.tasks import Arrays

    Pixels = NDArray[np.uint8]

STRETCH = 32  # frames of two groups together: they are of all lengths
TRUST = 0.75, 3.0  # rate weights of vectors, as multiples of those of codes
ROOM = 2.1  # sides of what a camera sees that a photograph has at least
SPEEDS = 0.3, 2.0, 5.0  # of cameras, in pixels a frame


@dataclass(frozen=True)
class MovingData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: side of what is looked at in pixels.
        frame_side: larger frames are shrunk to this short side first.
        picture_side: larger photographs likewise.
        camera: share of the groups that are views of a camera which moves over a photograph, where
            there are any.
        turns: every so many batches a group goes on; so many times ``batch_size`` are under way.
    """

    crop_size: int
    frame_side: int
    picture_side: int
    camera: float
    turns: int

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, SIDE, 1024)
        if self.crop_size % SIDE:
            raise ValueError(f"crop_size must be a multiple of {SIDE}")
        check_range("frame_side", self.frame_side, self.crop_size, 8192)
        check_range("picture_side", self.picture_side, self.crop_size, 8192)
        check_range("camera", self.camera, 0, 1)
        check_range("turns", self.turns, 1, 1000)


class View(Protocol):
    """What is seen."""

    def frame(self, number: int) -> "Pixels":
        """Return a frame, (S, S, 3)."""


class Cut:
    """A square of the frames of a video; where it is too short it runs back again."""

    def __init__(self, clip: "Pixels", length: int, side: int, rng: np.random.Generator) -> None:
        self._start = int(rng.integers(max(1, len(clip) - length + 1)))
        top, left = (int(rng.integers(n - side + 1)) for n in clip.shape[1:3])
        self._clip = clip[:, top : top + side, left : left + side]

    def frame(self, number: int) -> "Pixels":
        """See `View`."""
        last = len(self._clip) - 1
        return self._clip[last - abs(last - (self._start + number) % (2 * last))]


class Camera:
    """What a camera sees that moves over a photograph, turns, and comes closer or goes away."""

    def __init__(self, pixels: "Pixels", length: int, side: int, rng: np.random.Generator) -> None:
        factor = max(rng.uniform(0.35, 1.0), ROOM * side / min(pixels.shape[:2]))
        size = tuple(round(n * factor) for n in pixels.shape[1::-1])
        self._photo = Pillow.fromarray(pixels).resize(size, Pillow.Resampling.LANCZOS)
        self._side, margin = side, 0.625 * side
        low, high = np.full(2, margin), np.array(size) - margin
        place = rng.uniform(low, high)
        speed = rng.normal(size=2) * rng.choice(SPEEDS)
        zoom, turn = (rng.normal() * 0.02 * rng.integers(2) for _ in range(2))
        self._places = []
        for number in range(length):
            self._places.append((place, math.exp(zoom * number), turn * number))
            place = place + speed
            speed = speed + rng.normal(size=2) * 0.1
            speed = np.where((place > low) & (place < high), speed, -speed)
            place = np.clip(place, low, high)

    def frame(self, number: int) -> "Pixels":
        """See `View`."""
        (x, y), zoom, turn = self._places[number]
        across, down, half = zoom * math.cos(turn), zoom * math.sin(turn), self._side / 2
        matrix = (
            *(across, -down, x - half * (across - down)),
            *(down, across, y - half * (down + across)),
        )
        size, method = (self._side, self._side), Pillow.Transform.AFFINE
        return np.asarray(self._photo.transform(size, method, matrix, Pillow.Resampling.BICUBIC))


class Groups:
    """Batches of frames, each after the one before it, of groups that are under way.

    Any batch can be had at any time: it is a pure function of its number.

    Args:
        clips: (T, H, W, 3) each, of two frames or more.
        photos: for cameras; None for none.
        data: settings.
        batch_size: of frames.
        weights: the least and the largest rate weight.
        seed: of what is drawn.
        processes: how many share the batches, in turns: each has groups of its own.
    """

    def __init__(
        self,
        clips: "list[Pixels]",
        photos: Pictures | None,
        data: MovingData,
        batch_size: int,
        weights: tuple[float, float],
        seed: int,
        processes: int = 1,
    ) -> None:
        self._clips, self._photos, self._data = clips, photos, data
        self._batch_size, self._weights, self._seed = batch_size, weights, seed
        self._turns = data.turns * processes

    def batch(self, number: int) -> "Arrays":
        """Return batch `number`.

        It holds `x` and `before`, (B, 3, S, S) uint8, a frame and that before it; of which group
        in which place it is the how many-th, `group`, `slot` and `number`; `weight`; `vectors`,
        (B, n, h', w', 2), codes that may have led from one to the other, and their `costs`, as
        `Moving.forward` takes them.
        """
        visit, turn = divmod(number, self._turns)
        slots = range(turn * self._batch_size, (turn + 1) * self._batch_size)
        samples = [self._sample(slot, visit) for slot in slots]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def _sample(self, slot: int, visit: int) -> "Arrays":
        phase = int(np.random.default_rng([self._seed, slot]).integers(STRETCH))
        stretch, place = divmod(visit + phase, STRETCH)
        length = int(np.random.default_rng([self._seed, slot, stretch]).integers(1, STRETCH))
        second = place >= length
        if second:
            place, length = place - length, STRETCH - length
        rng = np.random.default_rng([self._seed, slot, stretch, second])
        least, most = self._weights
        weight = least * (most / least) ** rng.random()
        trust = TRUST[0] * (TRUST[1] / TRUST[0]) ** rng.random()
        mirrored, view = rng.random() < 0.5, self._view(length + 1, rng)
        before, x = (view.frame(place + n)[:, :: -1 if mirrored else 1] for n in range(2))
        vectors, costs = tried(Reference(before), x, None, trust * weight)
        return {
            "x": x.transpose(2, 0, 1),
            "before": before.transpose(2, 0, 1),
            "slot": np.array(slot),
            "group": np.array(2 * stretch + second),
            "number": np.array(place + 1),
            "weight": np.array(weight, np.float32),
            "vectors": vectors,
            "costs": costs,
        }

    def _view(self, length: int, rng: np.random.Generator) -> View:
        side = self._data.crop_size
        if self._photos is not None and rng.random() < self._data.camera:
            return Camera(self._photos[int(rng.integers(len(self._photos)))], length, side, rng)
        return Cut(self._clips[int(rng.integers(len(self._clips)))], length, side, rng)


def tried(
    reference: Reference, pixels: "Pixels", before: "NDArray[np.int64] | None", weight: float
) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    """Return codes of vectors that may have led to a frame, and their costs; see `Moving.forward`.

    Args:
        reference: the frame before.
        pixels: (S, S, 3), the frame.
        before: (h', w', 2), the vectors of the frame before; None for none.
        weight: the rate weight of vectors.
    """
    still = np.zeros((*reference.shape, 2), np.int64)
    vectors, errors = reference.candidates(pixels, still if before is None else before)
    # where most stands still there are fewer: then some count twice
    every = np.minimum(np.arange(CANDIDATES), len(vectors) - 1)
    return vectors[every] % VECTORS, (errors[every] / weight).astype(np.float32)


def check_video(source: Source) -> None:
    """Raise MediaError unless a file begins as a video does."""
    with open_video(io.BytesIO(source.read()), source.name):
        pass


def read_clips(sources: list[Source], data: MovingData) -> "tuple[list[Pixels], list[str]]":
    """Return the frames of videos, (T, H, W, 3) each, and a sentence for each that was left out."""
    clips, skipped = [], []
    for source in sources:
        try:
            clip, cut = _read_clip(source, data, CACHE_BYTES // len(sources))
        except MediaError as error:
            skipped.append(str(error))
            continue
        clips.append(clip)
        if cut:
            skipped.append(f"{source.name}: all after its first {len(clip):,} frames")
    return clips, skipped


def _read_clip(source: Source, data: MovingData, room: int) -> "tuple[Pixels, bool]":
    """Return the frames of a video, and whether there was no room for all of them."""
    frames: list[Pixels] = []
    with open_video(io.BytesIO(source.read()), source.name) as reader:
        short = min(reader.size)
        if short < data.crop_size:
            raise MediaError(f"{source.name}: smaller than {data.crop_size}×{data.crop_size}")
        scale = min(1.0, data.frame_side / short)
        height, width = (max(data.crop_size, round(n * scale)) for n in reader.size)
        for frame in reader.frames():
            if frames and room < frames[0].nbytes:
                return np.stack(frames), True
            frames.append(Image(frame.pixels).resize((height, width)).pixels)
            room -= frames[-1].nbytes
    if len(frames) < 2:
        raise MediaError(f"{source.name}: a single frame, which nothing follows")
    return np.stack(frames), False
