"""`vqcodec train` and `vqcodec export`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqcodec.errors import UsageError

if TYPE_CHECKING:
    from vqcodec.train.loop import Progress
    from vqcodec.train.run import Start

app = typer.Typer(
    help="Train models of your own. Needs: pip install 'vqcodec[train]'",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def train() -> None:
    """Train models of your own. Needs: pip install 'vqcodec[train]'."""


Data = Annotated[
    list[Path], typer.Argument(help="Pictures, folders (recursive), or uncompressed tars.")
]
Run = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run; made if missing.")]
Preset = Annotated[str, typer.Option(help="Settings to start from.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: table.key=value, such as train.seed=1."),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="Train this many minutes (above 0) instead of train.steps steps; the learning "
        "rate's schedule fits itself to them. [default: no limit]"
    ),
]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option(
        help="Pictures to measure on, never trained on. [default: every twentieth of DATA]"
    ),
]


@app.command("image")
def image(
    data: Data,
    output: Run,
    preset: Preset = "image-f4",
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: HeldOut = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Weights (name or folder) to start from.")
    ] = None,
) -> None:
    """Train a VQ-VAE on pictures; repeat the command to continue a run that was interrupted."""
    config = _settings(preset, assignments, minutes)
    from vqcodec.train.run import train_image

    report = _Report(config["train"])
    try:
        train_image(
            data,
            output,
            config,
            held_out=held_out or [],
            minutes=minutes,
            start_from=start_from,
            on_start=report.start,
            on_step=report.step,
        )
    finally:
        report.stop()
    report.summary(output)


@app.command("speech")
def speech(
    data: Annotated[
        list[Path], typer.Argument(help="Recordings, folders (recursive), or uncompressed tars.")
    ],
    output: Run,
    stage: Annotated[
        str,
        typer.Option(
            help="codes: encoder, codebook and fast decoder. decoder: a WaveNet on the frozen "
            "codes of --codec."
        ),
    ] = "codes",
    codec: Annotated[
        str, typer.Option(help="Weights (name or folder) whose codes a decoder learns.")
    ] = "speech-64x",
    preset: Annotated[
        str | None,
        typer.Option(help="Settings to start from. [default: speech-64x, wavenet-bands]"),
    ] = None,
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings to measure on, never trained on. [default: every twentieth of DATA]"
        ),
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Weights (name or folder) to start from.")
    ] = None,
) -> None:
    """Train a VQ-VAE on speech; repeat the command to continue a run that was interrupted."""
    if stage not in ("codes", "decoder"):
        raise UsageError(f"--stage is {stage}, must be codes or decoder")
    if stage == "decoder" and start_from is not None:
        raise UsageError("--from belongs to --stage codes")
    preset = preset or ("speech-64x" if stage == "codes" else "wavenet-bands")
    config = _settings(preset, assignments, minutes)
    report = _Report(config["train"])
    shared: dict[str, Any] = {
        "held_out": held_out or [],
        "minutes": minutes,
        "on_start": report.start,
        "on_step": report.step,
    }
    try:
        if stage == "codes":
            from vqcodec.train.speech import train_speech

            train_speech(data, output, config, start_from=start_from, **shared)
        else:
            from vqcodec.train.decoders import train_decoder

            train_decoder(codec, data, output, config, on_encode=report.encode, **shared)
    finally:
        report.stop()
    report.summary(output)


@app.command("prior")
def prior(
    data: Annotated[
        list[Path],
        typer.Argument(help="Pictures or recordings, folders (recursive), or uncompressed tars."),
    ],
    output: Run,
    codec: Annotated[
        str, typer.Option(help="Weights (name or folder) whose codes are learned.")
    ] = "image-f4",
    preset: Annotated[
        str | None,
        typer.Option(help="Settings to start from. [default: prior-image, prior-speech]"),
    ] = None,
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            help="The same, to measure on, never trained on. [default: every twentieth of DATA]"
        ),
    ] = None,
) -> None:
    """Train a prior on a codec's codes, to sample from, or to make files smaller.

    For the latter name a preset prior-coding or prior-coding-speech. The data are encoded once and
    their codes kept in the run's folder; the time for that does not count as training. Repeat the
    command to continue a run that was interrupted.
    """
    from vqcodec.weights import find_weights

    if preset is None:
        sound = find_weights(codec).modality == "audio"
        preset = "prior-speech" if sound else "prior-image"
    config = _settings(preset, assignments, minutes)
    from vqcodec.train.priors import train_prior

    report = _Report(config["train"])
    try:
        train_prior(
            codec,
            data,
            output,
            config,
            held_out=held_out or [],
            minutes=minutes,
            on_encode=report.encode,
            on_start=report.start,
            on_step=report.step,
        )
    finally:
        report.stop()
    report.summary(output)


def _settings(preset: str, assignments: list[str] | None, minutes: float | None) -> dict[str, Any]:
    from vqcodec.config import load_preset, override

    if minutes is not None and not 0 < minutes <= 1e6:
        raise UsageError(f"--minutes is {minutes}, must be above 0")
    return override(load_preset(preset), assignments or [])


class _Report:
    """Tells how training goes: a bar on a terminal, a line per evaluation otherwise."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from rich import progress as bars
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = bars.Progress(*columns, console=self._console, transient=True)
        self._samples = settings["batch_size"] * settings["accumulation"]
        self._task = self._bar.add_task("starting", total=1.0)
        self._clock = (time.monotonic(), 0)
        self._said = 0
        self._speed = 0.0
        self._progress: Progress | None = None

    def encode(self, done: float) -> None:
        if self._console.is_terminal:
            self._bar.start()
        self._bar.update(self._task, completed=done, description="encoding")

    def start(self, start: "Start") -> None:
        for sentence in start.skipped[:5]:
            self._console.print(f"left out: {sentence}", markup=False)
        if len(start.skipped) > 5:
            self._console.print(f"left out: {len(start.skipped) - 5} more", markup=False)
        self._console.print(
            f"{start.samples:,} {start.what} to train on, {start.held_out:,} to measure on, "
            f"{start.parameters:,} parameters"
            + (f"; continuing at step {start.resumed:,}" if start.resumed else ""),
            markup=False,
        )
        self._clock = (time.monotonic(), start.resumed)
        self._bar.update(self._task, completed=0.0, description="starting")
        if self._console.is_terminal:
            self._bar.start()

    def step(self, progress: "Progress", done: float) -> None:
        self._progress = progress
        now = time.monotonic()
        since, step = self._clock
        if progress.measured != self._said:  # the time that measuring took does not count
            self._clock = (now, progress.step)
        elif now - since >= 2:
            self._speed = (progress.step - step) * self._samples / (now - since)
            text = f"step {progress.step:,}  {self._speed:.1f} samples/s"
            if "psnr" in progress.figures:
                text += f"  {progress.figures['psnr']:.2f} dB"
            elif "bits_per_index" in progress.figures:
                text += f"  {progress.figures['bits_per_index']:.3f} bits per index"
            self._bar.update(self._task, completed=done, description=text)
        if progress.measured != self._said:
            self._said = progress.measured
            figures = "  ".join(f"{k} {v:.4g}" for k, v in progress.figures.items())
            line = f"step {progress.step:,}, {100 * done:.0f} %, {self._speed:.1f} samples/s"
            self._console.print(f"{line}: {figures}", markup=False, highlight=False)

    def stop(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def summary(self, folder: Path) -> None:
        if self._progress is None:
            typer.echo(f"{folder}: was finished already")
        else:
            typer.echo(f"{folder}: {self._progress.step:,} steps in all")
        typer.echo(f"next: vqcodec export {folder} NAME")


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the weights: a-z, 0-9, '.', '_', '-'. Of a prior, or a decoder on frozen "
            "codes: the codec's, which it is added to."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder to put them in. [default: $VQCODEC_WEIGHTS, else your data folder; "
            "of a prior or decoder: where the codec is]",
        ),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(help="Markdown about data, licence and limits, for the model card."),
    ] = None,
    speakers: Annotated[
        Path | None,
        typer.Option(
            help="CSV of named speakers of a speech codec: speaker (their name in the data's "
            "manifest.csv or in LibriSpeech, VCTK, LJSpeech or CMU ARCTIC, else their folder), "
            "gender, corpus, licence, consent."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace weights of this name.")] = False,
) -> None:
    """Turn a training run into weights: config, safetensors and a model card."""
    from vqcodec.errors import MediaError
    from vqcodec.train.export import export as export_run
    from vqcodec.train.export import export_part, part_of
    from vqcodec.weights import own_folder, search_path

    part = part_of(run)
    if part is not None:
        if notes or speakers:
            raise UsageError(f"--notes and --speakers belong to a codec, not to a {part}")
        table = export_part(run, name, output, force=force)
        typer.echo(f"{table['folder']}: {_figures(table)}")
        return
    try:
        text = notes.read_text(encoding="utf-8") if notes else ""
    except (OSError, UnicodeDecodeError):
        raise MediaError(f"{notes}: cannot be read as text") from None
    folder = output or own_folder()
    config = export_run(run, name, folder, notes=text, force=force)
    if speakers:
        from vqcodec.train.voices import add_speakers
        from vqcodec.weights import read_weights

        add_speakers(run, read_weights(folder / name), speakers)
    typer.echo(f"{folder / name}: {_figures(config)}")
    if folder not in search_path():
        typer.echo(f"use them with --model {folder / name}")
    else:
        typer.echo(f"use them with --model {name}")


def _figures(table: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" for k, v in table["training"]["held_out"].items())
