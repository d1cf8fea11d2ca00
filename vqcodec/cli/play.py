"""`vqcodec play`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqcodec.cli import console, options
from vqcodec.cli.handlers.base import Loading
from vqcodec.cli.handlers.video.imagine import first_frames
from vqcodec.cli.handlers.video.options import WORLD
from vqcodec.cli.imagine import Model
from vqcodec.cli.sample import Seed, Temperature, TopK
from vqcodec.codec.sampling import SamplingParams
from vqcodec.errors import UsageError
from vqcodec.modality import VIDEO
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.sampling.video import World


def play(
    start: Annotated[
        Path | None, typer.Option(help="Video whose first frames the world begins with.")
    ] = None,
    given: Annotated[
        int, typer.Option(min=1, max=1000, help="How many of its frames, 1 to 1000.")
    ] = 6,
    model: Model = WORLD,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this computer; 0 for one that is free.")
    ] = 0,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Walk through an imagined world in a browser.

    Serves one page to this computer alone, for one visitor: arrow keys choose actions, and the
    frames that they lead to appear. Ctrl-C ends it.
    """
    if start is not None and start.is_dir():
        raise UsageError(f"{start}: is a folder; name a video")
    draw = SamplingParams(seed, temperature, top_k)
    loading = Loading(model, device, precision)
    loading.check(VIDEO)
    clip = None if start is None else first_frames(start, given)
    from vqcodec.play.server import Player
    from vqcodec.sampling.video import VideoSampler

    sampler = VideoSampler(loading.codec(VIDEO))
    side = find_weights(model).held_out_side
    size = (side, side) if clip is None else clip.pixels.shape[1:3]

    def begin() -> "tuple[World, NDArray[np.uint8]]":
        world = sampler.begin(size, None if clip is None else clip.pixels, draw)
        return world, world.step() if clip is None else list(world.shown())[-1]

    with Player(begin, sampler.actions, {"model": model, "size": size}, port) as player:
        console.say(f"{player.url} shows it, on this computer alone; Ctrl-C ends it")
        console.flush()
        player.serve_forever()
