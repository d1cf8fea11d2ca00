"""The command line: arguments, messages and exit codes, nothing else."""

import signal
import sys
import traceback
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer

import vqcodec
from vqcodec.cli import console
from vqcodec.cli.examples import epilog
from vqcodec.cli.messages import describe
from vqcodec.errors import UsageError
from vqcodec.modality import load

COMMANDS = {  # in the order that help has them in; each is imported when it is asked for
    "encode": "vqcodec.cli.encode:encode",
    "decode": "vqcodec.cli.decode:decode",
    "tokenize": "vqcodec.cli.tokenize:tokenize",
    "convert-voice": "vqcodec.cli.convert:convert_voice",
    "speakers": "vqcodec.cli.convert:speakers",
    "repack": "vqcodec.cli.files:repack",
    "sample": "vqcodec.cli.sample:sample",
    "complete": "vqcodec.cli.sample:complete",
    "imagine": "vqcodec.cli.imagine:imagine",
    "play": "vqcodec.cli.play:play",
    "info": "vqcodec.cli.files:info",
    "models": "vqcodec.cli.models:models",
    "inspect": "vqcodec.cli.inspect:inspect",
    "demo": "vqcodec.cli.demo:demo",
    "export": "vqcodec.cli.export:export",
    "evaluate": "vqcodec.cli.evaluate:evaluate",
    "compare": "vqcodec.cli.evaluate:compare",
    "benchmark": "vqcodec.cli.benchmark:benchmark",
    "train": "vqcodec.cli.train:app",
}

_settings = {"debug": False}


class Interrupted(BaseException):
    """Ctrl-C or a request to end; no `except Exception` on the way swallows it."""


def _version(wanted: bool) -> None:
    if wanted:
        console.say(f"vqcodec {vqcodec.__version__}")
        raise typer.Exit


def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Turn pictures and speech into small maps of integers and back, with VQ-VAE."""
    _settings["debug"] = debug


def build(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """Return the command line with these commands."""
    app = typer.Typer(
        name="vqcodec",
        help="Turn pictures and speech into small maps of integers and back, with VQ-VAE.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for name in names:
        command = load(COMMANDS[name])
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, epilog=epilog(name))
        else:
            app.command(name, epilog=epilog(name))(command)
    return app


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 well, 1 an error, 2 wrong usage, 130 interrupted."""
    console.begin()
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    asked = (sys.argv[1:] if argv is None else argv)[:1]
    try:
        try:
            build(asked if set(asked) & COMMANDS.keys() else COMMANDS)(argv, prog_name="vqcodec")
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
