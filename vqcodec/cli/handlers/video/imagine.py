"""Frames for `vqcodec imagine`, which follow a video, and for `vqcodec sample`, which do not."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.cli.console import Move, rounded
from vqcodec.cli.handlers.base import Loading
from vqcodec.cli.handlers.video.options import Sampling
from vqcodec.cli.handlers.video.write import Written, kind_of, write_frames
from vqcodec.cli.jobs import STREAM, Job, stdin
from vqcodec.cli.outcome import Facts
from vqcodec.cli.reports import plural
from vqcodec.errors import MediaError, UsageError
from vqcodec.modality import VIDEO
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.media.video import Video

    Actions = list[str | None]

FRAMES = 10  # that are imagined where nobody says how many
MAX_FRAMES = 10_000
RATE = Fraction(10)  # frames a second of what follows no video
MEMORY = 1 << 30  # bytes of the frames that are given
TIMES = re.compile(r"\s*([^*,\s]+)\s*(?:\*\s*(\d{1,5}))?\s*")


def parse_actions(text: str | None, frames: int | None) -> "Actions":
    """Return what leads to each frame, of a list such as ``forward*5,turn_left*5``.

    Args:
        text: the list; None if actions are not known.
        frames: how many there are to be; None for as many as actions.

    Raises:
        UsageError: it is no such list, or of another length.
    """
    if text is None:
        return [None] * (FRAMES if frames is None else frames)
    found: Actions = []
    for part in text.split(","):
        match = TIMES.fullmatch(part)
        times = int(match[2] or 1) if match else 0
        if match is None or not 1 <= times <= MAX_FRAMES:
            raise UsageError(
                f"--actions: '{part}' is no action; write names, and how often, as in "
                "forward*5,turn_left*5"
            )
        found += [match[1]] * times
    if frames is not None and len(found) != frames:
        raise UsageError(
            f"--actions names {plural(len(found), 'action')}, and {plural(frames, 'frame')} "
            f"{'follows' if frames == 1 else 'follow'} another; there must be one for each"
        )
    if len(found) > MAX_FRAMES:
        raise UsageError(f"--actions names {len(found):,} actions, more than {MAX_FRAMES:,}")
    return found


def imagine_video(
    loading: Loading,
    job: Job,
    given: int,
    actions: "Actions",
    draw: "SamplingParams",
    force: bool,
) -> Callable[[Move], Facts]:
    """Check what is asked of `vqcodec imagine`, and return what does it.

    Args:
        loading: of the codec.
        job: from where to where.
        given: how many frames of the video are looked at.
        actions: what leads to each frame that is to be imagined.
        draw: how.
        force: overwrite.
    """
    kind = kind_of(job, VIDEO.suffix)

    def imagine(bar: Move) -> Facts:
        from vqcodec.media.videoreader import Frame
        from vqcodec.sampling.video import VideoSampler

        sampler = VideoSampler(loading.codec(VIDEO))
        sampler.check(actions)
        clip = first_frames(job.source, given)
        durations = clip.durations.tolist()
        height, width = clip.pixels.shape[1:3]
        world = sampler.begin((height, width), clip.pixels, draw)
        told = map(Frame, world.shown(), durations)
        new = (Frame(world.step(action), durations[-1]) for action in actions)
        expected = given + len(actions)
        written = write_frames(
            chain(told, new), job, kind, (height, width), clip.rate, expected, force=force, bar=bar
        )
        facts = {"input": str(job.source), "given": given, "imagined": len(actions)}
        return _told(facts, written, (height, width), actions, draw, clip.notes)

    return imagine


def sample_video(
    loading: Loading, job: Job, own: Sampling, draw: "SamplingParams", force: bool
) -> Callable[[Move], Facts]:
    """Return what draws frames that follow none; see `Handler.sample`."""
    kind = kind_of(job, VIDEO.suffix)
    frames = own.frames if own.frames is None else own.frames - 1  # nothing leads to the first
    actions = parse_actions(own.actions, frames)
    side = find_weights(loading.model).held_out_side
    width, height = own.shape(side)

    def sample(bar: Move) -> Facts:
        from vqcodec.media.videoreader import Frame
        from vqcodec.sampling.video import VideoSampler

        pixels = VideoSampler(loading.codec(VIDEO)).sample((height, width), actions, draw)
        new: Iterator[Frame] = (Frame(picture, 1) for picture in pixels)
        expected = 1 + len(actions)
        written = write_frames(
            new, job, kind, (height, width), RATE, expected, force=force, bar=bar
        )
        return _told({"imagined": expected}, written, (height, width), actions, draw, ())

    return sample


def first_frames(source: Path, number: int) -> "Video":
    """Return the first frames of a video; of `STREAM`, standard input.

    Raises:
        MediaError: it has fewer, or cannot be read.
    """
    from vqcodec.files.codes import axes_of
    from vqcodec.media.video import Video, open_video

    streamed = source == STREAM
    name = "standard input" if streamed else str(source)
    if not streamed and axes_of(source):
        raise MediaError(f"{name}: holds codes, not frames; first make them with vqcodec decode")
    with open_video(stdin() if streamed else source, name) as reader:
        reader.pictures, reader.announced = islice(reader.pictures, number), 0
        video = Video.of(reader, MEMORY)
    if len(video.pixels) < number:
        raise MediaError(
            f"{name}: has {plural(len(video.pixels), 'frame')}, and --given asks for {number:,}"
        )
    return video


def _told(
    facts: dict[str, Any],
    written: Written,
    size: tuple[int, int],
    actions: "Actions",
    draw: "SamplingParams",
    notes: tuple[str, ...],
) -> Facts:
    facts |= {
        "output": str(written.target),
        "frames": written.frames,
        "width": size[1],
        "height": size[0],
        "duration": round(written.duration, 4),
        "actions": actions,
        "seed": draw.seed,
        "seconds": round(written.seconds, 4),
        "speed": round(written.speed, 2),
    }
    text = f"{facts['input']} -> " if "input" in facts else ""
    after = f" after {plural(facts['given'], 'frame')}" if "given" in facts else ""
    text += (
        f"{written.target}: {plural(facts['imagined'], 'frame')} imagined{after}, of "
        f"{size[1]}×{size[0]} pixels, seed {draw.seed}, at {rounded(facts['speed'])} fps"
    )
    notes = (*notes, *written.notes)
    if notes:
        facts["notes"] = list(notes)
    return facts, "; ".join([text, *notes])
