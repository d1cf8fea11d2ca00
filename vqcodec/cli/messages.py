"""Errors as sentences."""

from vqcodec.errors import VqcodecError


def describe(error: Exception) -> str:
    """Return one sentence about an error, safe to print whatever names it quotes."""
    sentence = " ".join(_sentence(error).splitlines())  # file names can hold line breaks
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sentence)


def _sentence(error: Exception) -> str:
    if isinstance(error, VqcodecError):
        return str(error)
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return f"{error.filename}: {what}" if error.filename else what
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return "not enough memory"
    if isinstance(error, ModuleNotFoundError) and error.name:
        extra = "evaluate" if error.name == "matplotlib" else "train"
        return f"{error.name} is not installed; try: pip install 'vqcodec[{extra}]'"
    return f"a fault of vqcodec itself, {type(error).__name__}: {error}; --debug shows where"
