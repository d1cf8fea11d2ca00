"""What a user says once before copying somebody's voice, and where that is remembered."""

from pathlib import Path

from vqcodec.cli import console
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
    elif path is None or not path.is_file():
        where = f"asked once, remembered in {path}" if path else "asked each time, without a home"
        raise UsageError(
            "--like makes speech in the voice of a real person, which can deceive others and needs "
            f"that person's agreement; if you have it, add --i-have-consent ({where})"
        )


def _path() -> Path | None:
    from platformdirs import user_config_path

    try:
        path = user_config_path("vqcodec") / FILE
    except RuntimeError:  # without a home
        return None
    return path if path.is_absolute() else None


def _remember(path: Path | None) -> None:
    from vqcodec.files.atomic import writing

    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path, force=True) as file:
            file.write(SAID.encode())
    except (OSError, OutputError):
        console.say(f"vqcodec: {path} cannot be written; it will be asked again", err=True)
