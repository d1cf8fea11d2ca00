"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from vqcodec.cli import console
from vqcodec.errors import MediaError, UsageError
from vqcodec.modality import MODALITIES, Modality

N = TypeVar("N", int, float)

DEFAULT_WEIGHTS = ", ".join(f"{m.weights} for {m.media}" for m in MODALITIES)

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    str, typer.Option(help="fp32, bf16, or auto: bf16 where the hardware multiplies it.")
]
Engine = Annotated[
    str,
    typer.Option(
        help="onnx, which starts at once, torch, or auto: torch for 4 MB of files or more (of code "
        "files, 1 MB) where there is a GPU or the CPU multiplies bfloat16, else onnx."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out inputs whose output exists.")
]
Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="Print errors only.", callback=console.be_quiet),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v", "--verbose", help="Print what came of each file.", callback=console.be_verbose
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per input.")]
Prior = Annotated[
    bool,
    typer.Option(
        "--prior/--no-prior",
        help="Range-code .vqc files with the model's coding prior, where that is smaller; without, "
        "pack them: faster, and read without any weights.",
    ),
]
SpeechDecoder = Annotated[
    str,
    typer.Option(
        help="Of speech: fast, or wavenet, which draws it sample by sample and takes longer."
    ),
]
DrawingTemperature = Annotated[
    float | None,
    typer.Option(
        help="Of a decoder that draws, a WaveNet (0.05 to 2) or a PixelCNN: below 1, likely values "
        "become likelier. [default: 1]"
    ),
]
DrawingSeed = Annotated[
    int | None,
    typer.Option(help="Of a decoder that draws, 0 or more: the same, the same. [default: 0]"),
]

Frames = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=10000,
        help="Of video: how many frames to draw, 1 to 10000. [default: as actions say, or 10]",
    ),
]
Actions = Annotated[
    str | None,
    typer.Option(
        help="Of video: what leads to each frame, such as forward*5,turn_left*5. [default: unknown]"
    ),
]


def numbers(option: str, text: str, kind: Callable[[str], N], low: N, high: N) -> list[N]:
    """Read numbers from `low` to `high`, separated by commas."""
    found = []
    for part in text.split(","):
        try:
            number = kind(part)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise UsageError(f"{option}: '{part}' is no number from {low:g} to {high:g}")
        found.append(number)
    return found


def check_exist(data: list[Path]) -> None:
    """Raise MediaError if there is no such file or folder."""
    for path in data:
        if not path.exists():
            raise MediaError(f"{path}: no such file or folder")


def modality_of(
    data: list[Path], asked: list[Modality], kinds: list[Modality] | None = None
) -> Modality:
    """Return the kind of media that there is in files, folders and tars.

    Of several, it is the first that is `asked` for, or else the first of `kinds`, all by default.
    """
    from vqcodec.data.sources import find_sources

    order = sorted(kinds or MODALITIES, key=lambda modality: modality not in asked)
    for modality in order:
        try:
            find_sources(data, modality)
        except MediaError:
            continue
        return modality
    return order[0]  # who uses it says what is wrong
