"""How shards are written and read: a module for each format.

Each has `SUFFIX`, `name_of` (the path of a shard in the output), `Writer` and `read`.
"""

from types import ModuleType

from vqcodec.errors import UsageError

FORMATS = ("webdataset", "parquet", "shar")


def find_format(name: str) -> ModuleType:
    """Return the module of a format.

    Raises:
        UsageError: there is no such format.
    """
    import importlib

    if name not in FORMATS:
        raise UsageError(f"no format '{name}'; there are: {', '.join(FORMATS)}")
    return importlib.import_module(f"vqcodec.tokens.formats.{name}")
