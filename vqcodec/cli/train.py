"""`vqcodec train`."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqcodec.cli import Interrupted, console, options
from vqcodec.cli.examples import epilog
from vqcodec.cli.interrupts import Postponed
from vqcodec.cli.messages import require
from vqcodec.config import preset_names, preset_summary
from vqcodec.errors import UsageError
from vqcodec.modality import AUDIO, IMAGE, MODALITIES, VIDEO, kinds_coded_by
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.train.loop import Progress
    from vqcodec.train.run import Ready, TrainingJob

app = typer.Typer(
    help="Train models of your own. Needs: pip install 'vqcodec[train]'",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _list_presets(wanted: bool) -> None:
    if wanted:
        for name in preset_names():
            console.say(f"{name:20} {preset_summary(name)}")
        raise typer.Exit


@app.callback()
def train(
    list_presets: Annotated[
        bool,
        typer.Option(
            "--list-presets",
            help="List the settings that --preset names.",
            callback=_list_presets,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Train models of your own. Needs: pip install 'vqcodec[train]'."""


PRIORS = ", ".join(modality.prior_preset for modality in MODALITIES)


def _data(what: str) -> Any:
    return typer.Argument(help=f"{what}, folders (recursive), or uncompressed tars.")


def _held_out(what: str) -> Any:
    return typer.Option(
        help=f"{what} to measure on, never trained on. [default: every twentieth of DATA]"
    )


Run = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run; made if missing.")]
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
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Weights (name or folder) to start from; of speech, those parts that are built alike.",
    ),
]


@app.command(epilog=epilog("train image"))
def image(
    data: Annotated[list[Path], _data("Pictures")],
    output: Run,
    preset: Annotated[str, typer.Option(help="Settings to start from.")] = "image-f4",
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: Annotated[list[Path] | None, _held_out("Pictures")] = None,
    start_from: From = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="Weights whose codes --preset stacked codes again, or whose pictures --preset "
            "image-refined refines."
        ),
    ] = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train a VQ-VAE on pictures.

    Repeat the command to continue a run that was interrupted.
    """
    used = [weights for weights in (start_from, on) if weights is not None]
    with _job(data, output, preset, assignments, minutes, held_out, used, device) as job:
        from vqcodec.train.image.task import train_image

        train_image(job, start_from, on)


@app.command(epilog=epilog("train speech"))
def speech(
    data: Annotated[list[Path], _data("Recordings")],
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
    ] = AUDIO.weights,
    preset: Annotated[
        str | None,
        typer.Option(help="Settings to start from. [default: speech-64x, wavenet-bands]"),
    ] = None,
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: Annotated[list[Path] | None, _held_out("Recordings")] = None,
    start_from: From = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train a VQ-VAE on speech, or a decoder of its codes.

    Repeat the command to continue a run that was interrupted.
    """
    if stage not in ("codes", "decoder"):
        raise UsageError(f"--stage is {stage}, must be codes or decoder")
    if stage == "decoder" and start_from is not None:
        raise UsageError("--from belongs to --stage codes")
    used = [codec] if stage == "decoder" else [] if start_from is None else [start_from]
    preset = preset or ("speech-64x" if stage == "codes" else "wavenet-bands")
    with _job(data, output, preset, assignments, minutes, held_out, used, device) as job:
        if stage == "codes":
            from vqcodec.train.speech.task import train_speech

            train_speech(job, start_from)
        else:
            from vqcodec.train.speech.decoder import train_decoder

            train_decoder(job, codec)


@app.command(epilog=epilog("train video"))
def video(
    data: Annotated[list[Path], _data("Videos")],
    output: Run,
    preset: Annotated[str, typer.Option(help="Settings to start from.")] = VIDEO.rated,
    on: Annotated[
        str, typer.Option(help="Weights of the codec of first frames, which are pictures.")
    ] = IMAGE.rated,
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: Annotated[list[Path] | None, _held_out("Videos")] = None,
    start_from: From = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train what codes the frames of videos by the frames before them.

    Photographs among the data are learned from as well: as a camera sees them that moves over them.
    Repeat the command to continue a run that was interrupted.
    """
    used = [weights for weights in (start_from, on) if weights is not None]
    with _job(data, output, preset, assignments, minutes, held_out, used, device) as job:
        from vqcodec.train.video.moving import train_video

        train_video(job, on, start_from)


@app.command(epilog=epilog("train prior"))
def prior(
    data: Annotated[list[Path], _data("Pictures, recordings or videos")],
    output: Run,
    codec: Annotated[
        str, typer.Option(help="Weights (name or folder) whose codes are learned.")
    ] = IMAGE.weights,
    preset: Annotated[
        str | None,
        typer.Option(help=f"Settings to start from. [default: {PRIORS}]"),
    ] = None,
    assignments: Assignments = None,
    minutes: Minutes = None,
    held_out: Annotated[list[Path] | None, _held_out("The same,")] = None,
    classes: Annotated[
        bool,
        typer.Option(
            "--classes",
            help="Of pictures: learn the folders that they lie in as classes, for sample --class.",
        ),
    ] = False,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train a prior on the codes of a codec.

    It is there to sample from, or to make files smaller. For the latter name a preset
    prior-coding, prior-coding-speech or, for videos, prior-coding-video; of a codec of several maps
    it is prior-lattice, the default there. Of videos it learns which frame follows others, and to
    obey the actions that an actions.csv beside them tells (file,frame,action), or of clip.mp4 a
    list in clip.json. The data are encoded once and their codes kept in the run's folder; the time
    for that does not count as training. Repeat the command to continue a run that was interrupted.
    """
    if preset is None:
        weights = find_weights(codec)
        row = options.modality_of(data, [], kinds_coded_by(weights.modality))
        preset = row.prior_preset if len(weights.codebook_sizes) == 1 else row.maps_preset
    with _job(data, output, preset, assignments, minutes, held_out, [codec], device) as job:
        from vqcodec.train.priors import train_prior

        train_prior(job, codec, classes=classes)


@contextlib.contextmanager
def _job(
    data: list[Path],
    output: Path,
    preset: str,
    assignments: list[str] | None,
    minutes: float | None,
    held_out: list[Path] | None,
    used: list[str],
    device: str,
) -> "Iterator[TrainingJob]":
    """Give what is asked, and tell how it goes while it is done."""
    from vqcodec.config import load_preset, override

    if minutes is not None and not 0 < minutes <= 1e6:
        raise UsageError(f"--minutes is {minutes}, must be above 0")
    config = override(load_preset(preset), assignments or [])
    for weights in used:
        find_weights(weights)
    options.check_exist([*data, *(held_out or [])])
    require("accelerate", "tensorboard")
    from vqcodec.train.run import TrainingJob, checkpoint_step, tidied

    report = _Report(config["train"])
    calls = report.encode, report.start, report.step, report.interrupt
    job = TrainingJob(data, output, config, held_out or [], minutes, device, *calls)
    try:
        with tidied(job):
            yield job
            report.interrupt.obey()
    except Interrupted:
        report.stop()
        console.note(f"{output}: interrupted {_kept(checkpoint_step(output))}")
        raise
    finally:
        report.stop()
    report.summary(output)


def _kept(step: int) -> str:
    if not step:
        return "before the first checkpoint, so nothing that was learned is kept"
    return f"and kept at step {step:,}; repeat the command to go on"


class _Report:
    """Tells how training goes: a bar on a terminal, a line per evaluation otherwise."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from rich import progress as bars
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, soft_wrap=True, quiet=console.is_quiet())
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = bars.Progress(*columns, console=self._console, transient=True)
        self._samples = settings["batch_size"] * settings["accumulation"]
        self._task = self._bar.add_task("starting", total=1.0)
        self._clock = (time.monotonic(), 0)
        self._said = 0
        self._speed = 0.0
        self._progress: Progress | None = None
        self._begun = False
        self.interrupt = Postponed(self._ending)

    def encode(self, done: float) -> None:
        if self._console.is_terminal:
            self._bar.start()
        self._bar.update(self._task, completed=done, description="encoding")

    def start(self, ready: "Ready", resumed: int) -> None:
        self._begun = True
        for sentence in ready.skipped[:5]:
            self._console.print(f"left out: {sentence}", markup=False)
        if len(ready.skipped) > 5:
            self._console.print(f"left out: {len(ready.skipped) - 5} more", markup=False)
        self._console.print(
            f"{ready.samples:,} {ready.what} to train on, {ready.held_out:,} to measure on, "
            f"{ready.parameters:,} parameters"
            + (f"; continuing at step {resumed:,}" if resumed else ""),
            markup=False,
        )
        self._clock = (time.monotonic(), resumed)
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

    def _ending(self) -> None:
        self._bar.update(self._task, description="ending; Ctrl-C again does it at once")

    def stop(self) -> None:
        self.interrupt.close()
        if self._bar.live.is_started:
            self._bar.stop()

    def summary(self, folder: Path) -> None:
        if not self._begun or console.is_quiet():
            return  # the first of several processes tells it
        if self._progress is None:
            console.say(f"{folder}: was finished already")
        else:
            console.say(f"{folder}: {self._progress.step:,} steps in all")
        console.say(f"next: vqcodec export {folder} NAME")
