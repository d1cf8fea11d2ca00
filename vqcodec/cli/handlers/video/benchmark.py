"""What `vqcodec benchmark` says of codecs of frames."""

import json
from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.reports import circumstances, heading, plural, print_table


def benchmark(
    model: str, clip: Path | None, threads: list[int], rounds: int, as_json: bool
) -> None:
    """Measure how many frames a second a model codes; arguments are those of the command."""
    from vqcodec.benchmark.machine import default_threads
    from vqcodec.benchmark.video import SIZES, first_frames, measure, synthetic_frames

    found: dict[str, Any] = {"model": model, "video": str(clip or "synthetic"), **circumstances()}
    console.say(heading(found), err=as_json)
    if clip is not None:
        clips = [first_frames(clip)]
    else:
        clips = [synthetic_frames(height, width) for width, height in SIZES]
    found["sizes"] = []
    for number in threads or [default_threads()]:
        rows = [[plural(number, "thread"), "encode", "decode"]]
        for frames in clips:
            count, height, width, _ = frames.shape
            with progress_bar(f"{width}×{height}"):
                speed = measure(model, frames, number, rounds)
            told = {"width": width, "height": height, "frames": count, "threads": number}
            found["sizes"].append({**told, **speed})
            figures = [f"{speed[key]:.1f} frames/s" for key in ("encode", "decode")]
            rows.append([f"{width}×{height}", *figures])
        if not as_json:
            print_table(rows)
    if as_json:
        console.say(json.dumps(found))
