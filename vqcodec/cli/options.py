"""Options that several commands share."""

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    str, typer.Option(help="fp32, bf16, or auto: bf16 where the hardware multiplies it.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out inputs whose output exists.")
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
        help="Of the WaveNet, 0.05 to 2: below 1, likely samples become likelier. [default: 1]"
    ),
]
DrawingSeed = Annotated[
    int | None,
    typer.Option(help="Of the WaveNet, 0 or more: the same seed, the same sound. [default: 0]"),
]
