"""`vqcodec encode`."""

from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import STREAM, Job, Outcome, is_folder, left_to_do, plan, stdin
from vqcodec.errors import UsageError
from vqcodec.files.codes import suffix_of

FORMATS = ("npz", "vqc")
PICTURES, SOUNDS = "image-f4", "speech-64x"  # the weights that are taken without --model


def encode(
    inputs: Annotated[
        list[Path], typer.Argument(help="Pictures, sounds, folders of them; - for standard input.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File (.npz or .vqc), folder, or - for stdout."),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="npz (NumPy arrays) or vqc (few bytes). [default: npz]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights: a name that `vqcodec models` lists, or a folder. "
            "[default: image-f4 for pictures, speech-64x for sound]"
        ),
    ] = None,
    scale: Annotated[
        float,
        typer.Option(help="Code a picture smaller by this factor, above 0 and at most 1."),
    ] = 1.0,
    quality: Annotated[
        int | None,
        typer.Option(help="1 to 100: less for fewer bytes in a .vqc; 100 leaves the rate alone."),
    ] = None,
    rate_weight: Annotated[
        float | None,
        typer.Option(
            help="Instead of --quality: squared error, in 8-bit levels summed over pixels and "
            "colours, that saving a bit may cost; 0 or more."
        ),
    ] = None,
    target_bytes: Annotated[
        int | None,
        typer.Option(help="Instead of --quality: the .vqc has at most this many bytes."),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            help="0 to 9: how far to search for better codes than the nearest; each step takes "
            "longer. [default: 0, and 4 where a rate is asked for]"
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(help="Put transparent pictures on this colour, such as white or #rrggbb."),
    ] = None,
    mono: Annotated[
        bool, typer.Option("--mono", help="Mix the channels of sound down to one.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decode again and print the PSNR, in dB.")
    ] = False,
    prior: options.Prior = True,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn pictures and sound into code files: image.png becomes image.npz.

    Sound from standard input to standard output is coded as it comes, into a .vqc stream.
    """
    suffix = _suffix(file_format, output)
    if not 0 < scale <= 1:
        raise UsageError(f"--scale is {scale}, must be above 0 and at most 1")
    rate_weight, effort = _search(quality, rate_weight, target_bytes, effort)
    if target_bytes is not None and (suffix != ".vqc" or not prior or scale != 1):
        raise UsageError("--target-bytes needs a .vqc with a prior, and chooses the scale itself")
    of_pictures = (scale != 1, quality, rate_weight, target_bytes, effort, background, verify)
    jobs = plan(inputs, output, lambda p, *_: p.with_suffix(suffix), _is_input)
    stream, is_sound = _kinds(jobs)
    _check_options(is_sound, pictures=any(of_pictures), sound=mono, model=model is not None)
    outcome = Outcome(jobs, as_json=as_json)
    jobs = left_to_do(jobs, outcome, force=force, skip=skip_existing)
    pictures = [job for job in jobs if not is_sound[job]]
    sounds = [job for job in jobs if is_sound[job]]
    if pictures:
        colour = _colour(background)
        from vqcodec.cli.handlers.image import Wanted, encode_pictures
        from vqcodec.codec.image import Codec

        codec = Codec.load(model or PICTURES, device, precision)
        wanted = Wanted(
            suffix, scale, rate_weight, target_bytes, effort, colour, verify, prior, force
        )
        encode_pictures(codec, pictures, outcome, wanted, stream)
    if sounds:
        from vqcodec.cli.handlers import speech as of_sound
        from vqcodec.codec.speech import SpeechCodec

        named = file_format or (output is not None and output != STREAM)
        how = of_sound.Wanted(suffix if named else None, mono, prior, force)
        speech = SpeechCodec.load(model or SOUNDS, device, precision)
        of_sound.encode_sounds(speech, sounds, outcome, how, stream)
    outcome.close()


def _kinds(jobs: list[Job]) -> tuple[BinaryIO | None, dict[Job, bool]]:
    """Return standard input, if it is a source, and whether each job is of sound."""
    from vqcodec.cli.handlers.speech import is_sound_file

    if jobs[0].source != STREAM:
        return None, {job: is_sound_file(job.source) for job in jobs}
    from vqcodec.media.soundfiles import peek
    from vqcodec.media.soundformats import is_sound

    head, stream = peek(stdin())
    return stream, {jobs[0]: is_sound(head, "")}


def _check_options(is_sound: dict[Job, bool], *, pictures: bool, sound: bool, model: bool) -> None:
    """Raise UsageError for options, of pictures or sound, that none of the inputs can follow."""
    kinds = set(is_sound.values())
    if pictures and False not in kinds:
        raise UsageError(
            "--scale, --quality, --rate-weight, --target-bytes, --effort, --background and "
            "--verify are for pictures, and the input is sound"
        )
    if sound and True not in kinds:
        raise UsageError("--mono is for sound, and the input is a picture")
    if model and len(kinds) > 1:
        raise UsageError("--model codes pictures or sound; encode the two apart")


def _search(
    quality: int | None, rate_weight: float | None, target_bytes: int | None, effort: int | None
) -> tuple[float, int]:
    """Return the rate weight to search with, and the effort."""
    rates = [o for o in (quality, rate_weight, target_bytes) if o is not None]
    if len(rates) > 1:
        raise UsageError("--quality, --rate-weight and --target-bytes exclude each other")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"--quality is {quality}, must be 1 to 100")
    if rate_weight is not None and not 0 <= rate_weight <= 1e9:
        raise UsageError(f"--rate-weight is {rate_weight}, must be 0 or more")
    if target_bytes is not None and target_bytes < 1:
        raise UsageError(f"--target-bytes is {target_bytes}, must be 1 or more")
    if effort is None:
        effort = 4 if rates else 0
    least = 1 if rates else 0
    if not least <= effort <= 9:
        raise UsageError(f"--effort is {effort}, must be {least} to 9")
    if quality is not None:
        from vqcodec.codec.rate import weight_of

        rate_weight = weight_of(quality)
    return rate_weight or 0.0, effort


def _suffix(file_format: str | None, output: Path | None) -> str:
    """Return ``.npz`` or ``.vqc``, by ``--format``, else by the name of the output."""
    if file_format is not None and file_format not in FORMATS:
        raise UsageError(f"no format '{file_format}'; there are: {', '.join(FORMATS)}")
    suffix = f".{file_format}" if file_format else ".npz"
    if output is None or output == STREAM or is_folder(output) or not output.suffix:
        return suffix
    own = suffix_of(output)
    if file_format and own != suffix:
        raise UsageError(f"{output}: its suffix contradicts --format {file_format}")
    return own


def _colour(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    from vqcodec.media.image import parse_colour

    return parse_colour(text)


def _is_input(path: Path) -> bool:
    from vqcodec.media.image import picture_suffixes
    from vqcodec.media.soundformats import SOUND_SUFFIXES

    return path.suffix.lower() in picture_suffixes() | SOUND_SUFFIXES
