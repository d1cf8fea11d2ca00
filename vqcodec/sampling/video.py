"""Frames that follow others as actions have it: a world, imagined (arXiv:1711.00937v2, 4.4).

All of it happens among codes; a frame is decoded only to be shown.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.video import VideoCodec
from vqcodec.errors import UsageError, WeightsError
from vqcodec.maps import filled
from vqcodec.modality import VIDEO
from vqcodec.models.pretrained import load_sampling_prior
from vqcodec.models.priors.base import UNKNOWN, Tensors
from vqcodec.models.priors.frames import FramesPrior
from vqcodec.models.priors.pixelcnn import Draw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MAX_CELLS = 1 << 16  # of a frame's finest map: 1024x1024 pixels at a stride of 4


class VideoSampler:
    """Draws the maps of frames, each given those before it and an action, and decodes them.

    Args:
        codec: decodes; its weights must come with a sampling prior of successive frames.

    Raises:
        WeightsError: they do not.
    """

    def __init__(self, codec: VideoCodec) -> None:
        prior = load_sampling_prior(codec.weights, VIDEO.name)
        if not isinstance(prior, FramesPrior):
            raise WeightsError(f"{codec.weights.folder}: its sampling prior is not one of frames")
        self.codec, self.prior = codec, prior.to(codec.device)

    @classmethod
    def load(
        cls, name: str | Path, device: str = "auto", precision: str = "auto"
    ) -> "VideoSampler":
        """Load weights by name or path; see `ImageCodec.load`."""
        return cls(VideoCodec.load(name, device, precision))

    @property
    def actions(self) -> tuple[str, ...]:
        """The names of the actions that the prior knows; there may be none."""
        return self.prior.config.actions

    def check(self, actions: Sequence[str | None]) -> None:
        """Raise UsageError if there is an action that the prior does not know."""
        for action in actions:
            if action is not None and action not in self.actions:
                known = f"there are: {', '.join(self.actions)}" if self.actions else "it knows none"
                raise UsageError(f"'{self.codec.weights.name}' knows no action '{action}'; {known}")

    def begin(
        self,
        size: tuple[int, int],
        given: "Pixels | None" = None,
        params: SamplingParams | None = None,
    ) -> "World":
        """Return a world to walk through.

        Args:
            size: height and width of its frames.
            given: the frames that it begins with, (T, H, W, 3); None for none.
            params: how to draw.

        Raises:
            UsageError: the frames are too large.
        """
        return World(self, size, given, params or SamplingParams())

    def sample(
        self,
        size: tuple[int, int],
        actions: Sequence[str | None],
        params: SamplingParams | None = None,
    ) -> "Iterator[Pixels]":
        """Return what yields frames, (H, W, 3): a first one, and one more after each action."""
        self.check(actions)
        world = self.begin(size, None, params)
        return (world.step(action) for action in (None, *actions))

    def imagine(
        self,
        given: "Pixels",
        actions: Sequence[str | None],
        params: SamplingParams | None = None,
    ) -> "Iterator[Pixels]":
        """Return what yields the frames, (H, W, 3), that follow those given: one for each action.

        Args:
            given: (T, H, W, 3).
            actions: their names; None where one is not known.
            params: how to draw.
        """
        self.check(actions)
        world = self.begin(given.shape[1:3], given, params)
        return (world.step(action) for action in actions)


class World:
    """Frames, imagined one by one."""

    def __init__(
        self,
        sampler: VideoSampler,
        size: tuple[int, int],
        given: "Pixels | None",
        params: SamplingParams,
    ) -> None:
        """Begin; see `VideoSampler.begin`."""
        self._sampler, self.size = sampler, size
        self._how = Draw(params.temperature, params.top_k)
        self._generator = torch.Generator().manual_seed(params.seed)
        maps = sampler.codec.pictures.maps
        self._shapes = [(1, *spec.shape(filled(maps, size))) for spec in maps]
        _, rows, columns = self._shapes[-1]
        if rows * columns > MAX_CELLS:
            raise UsageError(
                f"frames of {size[1]}×{size[0]} pixels are too large to be imagined: they have "
                f"{rows * columns:,} indices, more than {MAX_CELLS:,}; make them smaller first"
            )
        self._frames: list[Tensors] = []
        if given is not None:
            grids = sampler.codec.pictures.encode_batch(given)
            device = sampler.codec.device
            moved = [torch.from_numpy(grid.astype("int64")).to(device) for grid in grids]
            self._frames = [tuple(m[t : t + 1] for m in moved) for t in range(len(given))]

    def shown(self) -> "Iterator[Pixels]":
        """Yield the frames so far, (H, W, 3) each, as their codes tell them."""
        yield from map(self._decode, self._frames)

    @torch.inference_mode()
    def step(self, action: str | None = None) -> "Pixels":
        """Return the next frame, (H, W, 3).

        Args:
            action: that leads to it, by its name; None if it is not known.

        Raises:
            UsageError: the prior does not know it.
        """
        sampler = self._sampler
        sampler.check([action])
        number = UNKNOWN if action is None else 1 + sampler.actions.index(action)
        led = torch.tensor([number], device=sampler.codec.device)
        drawn = sampler.prior.draw_next(self._frames, self._shapes, led, self._how, self._generator)
        self._frames = [*self._frames[1 - sampler.prior.config.frames :], drawn]
        return self._decode(drawn)

    def _decode(self, maps: Tensors) -> "Pixels":
        import numpy as np

        grids = tuple(grid.cpu().numpy().astype(np.uint16) for grid in maps)
        pixels: Pixels = self._sampler.codec.pictures.decode_batch(grids)[0]
        return pixels[: self.size[0], : self.size[1]]
