"""Errors as sentences."""

import importlib.util

from vqcodec.errors import VqcodecError

EXTRAS = {  # by module
    "matplotlib": "evaluate",
    "accelerate": "train",
    "tensorboard": "train",
    "pyarrow": "tokenize",
    "ray": "ray",
}


def require(*modules: str) -> None:
    """Raise ModuleNotFoundError if an extra is not installed; nothing is imported to find out."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(name=module)


def describe(error: Exception) -> str:
    """Return one sentence about an error, safe to print whatever names it quotes."""
    return printable(" ".join(_sentence(error).splitlines()))  # file names can hold line breaks


def printable(text: str) -> str:
    """Return a text in which what cannot be printed, as in names of files, is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _sentence(error: Exception) -> str:
    if isinstance(error, VqcodecError):
        return str(error)
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return f"{error.filename}: {what}" if error.filename else what
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return "not enough memory"
    if isinstance(error, ModuleNotFoundError) and error.name:
        extra = EXTRAS.get(error.name, "train")
        what = "torch" if error.name == "torch" else f"'vqcodec[{extra}]'"
        return f"{error.name} is not installed; try: pip install {what}"
    return f"a fault of vqcodec itself, {type(error).__name__}: {error}; --debug shows where"
