"""Pictures to seeded crops."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

from vqcodec.data.sources import Source
from vqcodec.errors import MediaError, TrainingError
from vqcodec.media.image import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MAX_ENLARGED = 1 << 22  # pixels of a small picture that is enlarged: a thin one would have millions
CACHE_BYTES = 4 << 30  # shrunk pictures are kept in memory up to this much, read again beyond


class Pictures:
    """A set of pictures, each shrunk to a short side of at most `side` pixels.

    Unreadable pictures, and those too thin to be enlarged, are left out and listed in `skipped`;
    `sources` are the others.
    """

    def __init__(self, sources: list[Source], side: int, minimum: int) -> None:
        """Read all pictures once.

        Args:
            sources: what to read.
            side: short side in pixels that larger pictures are shrunk to.
            minimum: smaller pictures are enlarged to this short side.

        Raises:
            TrainingError: not one picture could be read.
        """
        self.side, self.minimum = side, minimum
        self.skipped: list[str] = []
        self.sources: list[Source] = []
        self._cache: list[Pixels | None] = []
        room = CACHE_BYTES
        with ThreadPoolExecutor() as pool:
            for source, pixels in zip(sources, pool.map(self._try, sources), strict=True):
                if isinstance(pixels, MediaError):
                    self.skipped.append(str(pixels))
                    continue
                room -= pixels.nbytes
                self.sources.append(source)
                self._cache.append(pixels if room >= 0 else None)
        if not self.sources:
            raise TrainingError(
                f"none of the {len(sources)} pictures can be read; the first: {self.skipped[0]}"
            )

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> "Pixels":
        """Return picture `index`, (H, W, 3)."""
        pixels = self._cache[index]
        return self._load(self.sources[index]) if pixels is None else pixels

    def _try(self, source: Source) -> "Pixels | MediaError":
        try:
            return self._load(source)
        except MediaError as error:
            return error

    def _load(self, source: Source) -> "Pixels":
        return read_picture(source, self.side, self.minimum)


def read_picture(source: Source, side: int, minimum: int) -> "Pixels":
    """Return a picture, (H, W, 3), its short side brought to between `minimum` and `side` pixels.

    Raises:
        MediaError: it cannot be read, or is too thin to be enlarged.
    """
    image = Image.open(io.BytesIO(source.read()), name=source.name)
    short = min(image.size)
    if minimum <= short <= side:
        return image.pixels
    scale = (side if short > side else minimum) / short
    height, width = (max(minimum, round(n * scale)) for n in image.size)
    if scale > 1 and height * width > MAX_ENLARGED:
        raise MediaError(
            f"{source.name}: too thin, {image.size[1]:,}×{image.size[0]:,} pixels; a short side "
            f"of {minimum} is needed"
        )
    return image.resize((height, width)).pixels


class Crops:
    """Batches of random crops, a pure function of (seed, step): any step can be had at any time.

    That makes resuming exact: there is no position to remember.
    """

    def __init__(
        self,
        pictures: Pictures,
        batch_size: int,
        crop_size: int,
        zoom: tuple[float, float],
        seed: int,
        plain: float = 0.0,
        as_is: float = 0.0,
    ) -> None:
        self.pictures, self.batch_size, self.crop_size = pictures, batch_size, crop_size
        self.zoom, self.seed = zoom, seed
        self.plain, self.as_is = plain, as_is

    def batch(self, step: int) -> "Pixels":
        """Return batch number `step`, (batch_size, 3, crop_size, crop_size), some mirrored."""
        return self.numbered(step)[0]

    def numbered(self, step: int) -> "tuple[Pixels, NDArray[np.intp]]":
        """Return batch number `step`, and the number of the picture of each crop, -1 for none."""
        import numpy as np

        rng = np.random.default_rng([self.seed, step])
        crops, numbers = zip(*(self._crop(rng) for _ in range(self.batch_size)), strict=True)
        return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2)), np.array(numbers)

    def _crop(self, rng: "np.random.Generator") -> "tuple[Pixels, int]":
        import numpy as np
        from PIL import Image as Pillow

        if self.plain and rng.random() < self.plain:
            return _plain(rng, self.crop_size), -1
        number = int(rng.integers(len(self.pictures)))
        pixels = self.pictures[number]
        height, width = pixels.shape[:2]
        as_is = self.as_is and rng.random() < self.as_is
        zoom = 1.0 if as_is else rng.uniform(*self.zoom)
        side = min(round(self.crop_size * zoom), height, width)
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop = pixels[top : top + side, left : left + side]
        if side != self.crop_size:
            size = (self.crop_size, self.crop_size)
            crop = np.asarray(Pillow.fromarray(crop).resize(size, Pillow.Resampling.LANCZOS))
        return crop[:, ::-1] if rng.random() < 0.5 else crop, number


def _plain(rng: "np.random.Generator", side: int) -> "Pixels":
    """Return one colour, or a slope from one to another, (side, side, 3); some are saturated."""
    import numpy as np

    colour = rng.uniform(0, 255, 3)
    saturated = rng.random(3) < 0.25
    colour[saturated] = np.where(colour[saturated] > 127, 255, 0)
    slopes = rng.uniform(-60, 60, (2, 3)) * (rng.random() < 0.6)
    t = np.linspace(-0.5, 0.5, side)
    plane = colour + slopes[0] * t[:, None, None] + slopes[1] * t[None, :, None]
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def centre_squares(pictures: Pictures, side: int) -> "Pixels":
    """Return the middle of every picture, short side shrunk to `side`: (N, 3, side, side)."""
    import numpy as np

    squares = []
    for index in range(len(pictures)):
        image = Image(pictures[index], None)
        scale = side / min(image.size)
        height, width = (max(side, round(n * scale)) for n in image.size)
        pixels = image.resize((height, width)).pixels
        top, left = (height - side) // 2, (width - side) // 2
        squares.append(pixels[top : top + side, left : left + side])
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))


Batch = TypeVar("Batch")


class Prefetcher(Generic[Batch]):
    """Calls `make(step)` for coming steps in threads, in order."""

    def __init__(self, make: Callable[[int], Batch], start: int, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._make, self._next = make, start + 2 * threads
        self._queue = [self._pool.submit(make, start + i) for i in range(2 * threads)]

    def get(self) -> Batch:
        """Return the next batch."""
        self._queue.append(self._pool.submit(self._make, self._next))
        self._next += 1
        return self._queue.pop(0).result()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)
