"""The command line: arguments, messages and exit codes, nothing else."""

import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

import vqcodec
from vqcodec.cli import (
    benchmark,
    convert,
    decode,
    encode,
    evaluate,
    export,
    files,
    inspect,
    sample,
    train,
)
from vqcodec.cli.messages import describe
from vqcodec.errors import UsageError

app = typer.Typer(
    name="vqcodec",
    help="Turn pictures and speech into small maps of integers and back, with VQ-VAE.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("encode")(encode.encode)
app.command("decode")(decode.decode)
app.command("convert-voice")(convert.convert_voice)
app.command("speakers")(convert.speakers)
app.command("repack")(files.repack)
app.command("sample")(sample.sample)
app.command("complete")(sample.complete)
app.command("info")(files.info)
app.command("models")(files.models)
app.command("inspect")(inspect.inspect)
app.add_typer(train.app, name="train")
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(evaluate.compare)
app.command("benchmark")(benchmark.benchmark)

_settings = {"debug": False}


class Interrupted(BaseException):
    """Ctrl-C or a request to end; no `except Exception` on the way swallows it."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vqcodec {vqcodec.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Turn pictures and speech into small maps of integers and back, with VQ-VAE."""
    _settings["debug"] = debug


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 well, 1 an error, 2 wrong usage, 130 interrupted."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(argv, prog_name="vqcodec")
    except Interrupted as error:
        sys.exit(128 + error.args[0])
    except BrokenPipeError:  # whoever read our output has gone
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if _settings["debug"]:
            traceback.print_exc()
        print(f"vqcodec: error: {describe(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    sys.exit(0)


def _interrupt(number: int, _frame: Any) -> None:
    raise Interrupted(number)
