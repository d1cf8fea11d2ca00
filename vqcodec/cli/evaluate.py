"""`vqcodec evaluate` and `vqcodec compare`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli import console, options
from vqcodec.cli.handlers.base import asked_for, deal, handler_of, handlers
from vqcodec.cli.handlers.image import report as pictures
from vqcodec.cli.handlers.speech import report as speech
from vqcodec.cli.handlers.video import report as videos
from vqcodec.modality import kinds_coded_by
from vqcodec.weights import find_weights


def evaluate(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, recordings or videos, folders (recursive), or uncompressed tars."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder of the report; an interrupted one goes on."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help=f"Weights, a name or a folder. [default: {options.DEFAULT_WEIGHTS}]"),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Codecs to compare with, separated by commas; '' for none. [default: "
            "jpeg,webp,avif,jxl; of speech opus-6k,codec2-2400,codec2-700c; of video "
            "h264,hevc,av1]"
        ),
    ] = None,
    quality: Annotated[
        str, typer.Option(help="Measure at these qualities, such as 100,80,60; each 1 to 100.")
    ] = "",
    target_bytes: Annotated[
        str, typer.Option(help="Measure at files of at most these sizes, such as 700,600.")
    ] = "",
    effort: Annotated[
        int | None,
        typer.Option(help="How far to search for better codes of pictures; see `encode`."),
    ] = None,
    bound: Annotated[
        bool,
        typer.Option(
            "--bound",
            help="Measure likelihoods of pictures, in bits per dimension, of models that --model "
            "and --against name: bounds, and what another picture's latents cost.",
        ),
    ] = False,
    gaussian: Annotated[
        Path | None,
        typer.Option(
            help="With --bound, put beside them a Gaussian of full covariance, fitted to these "
            "pictures."
        ),
    ] = None,
    phones: Annotated[
        bool,
        typer.Option(
            "--phones",
            help="Measure what codes tell of phones, on speech whose phones.csv marks them.",
        ),
    ] = False,
    voices: Annotated[
        str | None,
        typer.Option(
            help="Convert the recordings to these speakers, names that `vqcodec speakers` lists, "
            "with commas, and measure that. Folders tell who speaks (DATA/SPEAKER/x.flac), or a "
            "manifest.csv, or the layout of LibriSpeech, VCTK, LJSpeech or CMU ARCTIC. The named "
            "speakers must be among them: that tells what they sound like. Files of one text, or "
            "where it is not known of one name, are the same sentence."
        ),
    ] = None,
    babble: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Draw as much babble as there is of each of the first recordings, this many, 1 to "
            "100, up to 10 s of each, and measure how like speech both are.",
        ),
    ] = None,
    imagine: Annotated[
        Path | None,
        typer.Option(
            help="Imagine how videos go on that have actions beside them, and measure that. "
            "What tells whether actions are obeyed learns from these videos, a folder or tar.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start over where the folder holds a report.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Measure a model beside other codecs, and write a report.

    Into the folder go report.html, results.json, results.csv and, of pictures, plots.
    """
    own: dict[str, Any] = {"quality": quality, "target_bytes": target_bytes, "effort": effort}
    own |= {"bound": bound, "gaussian": gaussian}
    own |= {"phones": phones, "voices": voices, "babble": babble, "imagine": imagine}
    takers = {handler.modality: handler.evaluation for handler in handlers()}
    kinds = None if model is None else kinds_coded_by(find_weights(model).modality)
    if kinds is None or len(kinds) > 1:
        options.check_exist(data)
        modality = options.modality_of(data, asked_for(own, takers), kinds)
    else:
        modality = kinds[0]
    found = f"{model or modality.weights} codes {modality.codes}"
    dealt = deal(own, takers, [modality], lambda kind: kind.codes, found)
    options.check_exist([*data, *(path for path in (gaussian, imagine) if path is not None)])
    handler_of(modality).evaluate(
        data, output, model, against, dealt[modality], device=device, force=force, as_json=as_json
    )


def compare(
    a: Annotated[
        Path, typer.Argument(help="A picture, a video, or a report (folder or results.json).")
    ],
    b: Annotated[Path, typer.Argument(help="Another of the same kind.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two pictures, videos or reports."""
    from vqcodec.evaluate.compare import compare as measure

    found = measure(a, b)
    if as_json:
        console.say(json.dumps(found))
        return
    for note in found["notes"]:
        console.note(f"note: {note}")
    if "points" in found:
        console.say(
            f"{found['b']} ({found['names'][1]}) against {found['a']} ({found['names'][0]})"
        )
        (pictures if found["bd"] else speech).print_reports(found)
    elif "frames" in found:
        videos.print_videos(found)
    else:
        pictures.print_pictures(found)
