"""The command line: arguments, messages and exit codes, nothing else."""

import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

import vqcodec
from vqcodec.cli import (
    benchmark,
    console,
    convert,
    decode,
    encode,
    evaluate,
    export,
    files,
    inspect,
    models,
    sample,
    tokenize,
    train,
)
from vqcodec.cli.examples import epilog
from vqcodec.cli.messages import describe
from vqcodec.errors import UsageError

app = typer.Typer(
    name="vqcodec",
    help="Turn pictures and speech into small maps of integers and back, with VQ-VAE.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "encode": encode.encode,
    "decode": decode.decode,
    "tokenize": tokenize.tokenize,
    "convert-voice": convert.convert_voice,
    "speakers": convert.speakers,
    "repack": files.repack,
    "sample": sample.sample,
    "complete": sample.complete,
    "info": files.info,
    "models": models.models,
    "inspect": inspect.inspect,
    "export": export.export,
    "evaluate": evaluate.evaluate,
    "compare": evaluate.compare,
    "benchmark": benchmark.benchmark,
}
for name, command in COMMANDS.items():
    app.command(name, epilog=epilog(name))(command)
app.add_typer(train.app, name="train", epilog=epilog("train"))

_settings = {"debug": False}


class Interrupted(BaseException):
    """Ctrl-C or a request to end; no `except Exception` on the way swallows it."""


def _version(wanted: bool) -> None:
    if wanted:
        console.say(f"vqcodec {vqcodec.__version__}")
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
    console.begin()
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        try:
            app(argv, prog_name="vqcodec")
        finally:
            console.flush()
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
