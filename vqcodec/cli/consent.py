"""What a user says once before copying somebody's voice, and where that is remembered."""

from pathlib import Path

import typer

from vqcodec.errors import OutputError, UsageError

FILE = "consent-to-copy-voices"
SAID = "Its user has said that those whose voices vqcodec copies agreed to it (--i-have-consent).\n"


def require_consent(given: bool) -> None:
    """Return if the user says, or has said, that the speaker agreed; else raise UsageError.

    Args:
        given: ``--i-have-consent``, which is remembered in the user's config folder.
    """
    path = _path()
    if given:
        _remember(path)
    elif not path.is_file():
        raise UsageError(
            "--like makes speech in the voice of a real person, which can deceive others and needs "
            "that person's agreement; if you have it, add --i-have-consent (asked once, remembered "
            f"in {path})"
        )


def _path() -> Path:
    from platformdirs import user_config_path

    return user_config_path("vqcodec") / FILE


def _remember(path: Path) -> None:
    from vqcodec.files.atomic import writing

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path, force=True) as file:
            file.write(SAID.encode())
    except (OSError, OutputError):
        typer.echo(f"vqcodec: {path} cannot be written; it will be asked again", err=True)
