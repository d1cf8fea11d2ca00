"""Networks that come in the packages of others, run by ONNX Runtime: these are not imported."""

from pathlib import Path
from typing import Any


def locate(package: str, inside: str) -> Path:
    """Return a file or folder of an installed package.

    Args:
        package: its name on the package index.
        inside: the path from where packages are installed.

    Raises:
        ImportError: it is not installed, or holds no such thing.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        path = Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError:
        raise ImportError(f"{package} is not installed") from None
    if not path.exists():
        raise ImportError(f"{package} holds no {inside}")
    return path


def network(path: Path) -> Any:
    """Return a network in a file, to be run by ONNX Runtime on one thread.

    More only wait: the steps are small.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)
