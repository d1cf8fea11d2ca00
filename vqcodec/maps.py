"""Index maps: how many codes each has, and its shape for a picture, sound or video of some size."""

from dataclasses import dataclass

Size = tuple[int, ...]


@dataclass(frozen=True)
class MapSpec:
    """What is known of an index map before there is one.

    Attributes:
        codebook_size: K; its indices are below.
        stride: samples per index along each axis: pixels, frames, samples of sound.
    """

    codebook_size: int
    stride: Size

    def shape(self, size: Size) -> Size:
        """Return the shape of the map of a signal of this size; what is left at an end counts."""
        return tuple(-(-n // step) for n, step in zip(size, self.stride, strict=True))

    def covers(self, shape: Size) -> Size:
        """Return the size of the signal that a map of this shape stands for when it is full."""
        return tuple(n * step for n, step in zip(shape, self.stride, strict=True))


Maps = tuple[MapSpec, ...]  # coarse to fine


def check_nested(maps: Maps) -> None:
    """Raise ValueError unless cells of finer maps lie whole in those of coarser ones."""
    for coarse, fine in zip(maps, maps[1:], strict=False):
        if any(a % b for a, b in zip(coarse.stride, fine.stride, strict=True)):
            raise ValueError(f"a map of stride {fine.stride} cannot follow one of {coarse.stride}")


def filled(maps: Maps, size: Size) -> Size:
    """Return a size made up to whole cells of the coarsest map, and so of all."""
    return maps[0].covers(maps[0].shape(size))


def ratio(coarse: MapSpec, fine: MapSpec) -> Size:
    """Return how many cells of one map lie in a cell of a coarser one, along each axis."""
    return tuple(a // b for a, b in zip(coarse.stride, fine.stride, strict=True))
