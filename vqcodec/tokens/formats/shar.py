"""A field of a Lhotse Shar: ``codes.000000.tar`` beside ``recording.000000.tar``.

Keys and their order are those of the recordings, so the field joins the cuts that are there:
``CutSet.from_shar(fields={"cuts": [...], "codes": [...]})``, and then ``cut.load_codes()``. Each
array, (time, channels), since Lhotse cuts along the first axis, is followed by what it calls a
manifest; recordings that could not be coded have an empty place. There is no room for what
decoding needs beside indices.
"""

import json
import posixpath
from typing import BinaryIO

from vqcodec.maps import Maps
from vqcodec.tokens.entry import Entry
from vqcodec.tokens.formats.tarwriter import TarWriter, npy
from vqcodec.tokens.formats.webdataset import SUFFIX as SUFFIX  # noqa: PLC0414
from vqcodec.tokens.formats.webdataset import read as read  # noqa: PLC0414
from vqcodec.tokens.settings import Settings
from vqcodec.voice.frames import RATE

FIELD = "codes"


def name_of(shard: str) -> str:
    """Return where a shard goes: Lhotse numbers shards by what follows a dot."""
    folder, base = posixpath.split(shard)
    number = base.rpartition(".")[2]
    return posixpath.join(folder, f"{FIELD}.{number:0>6}{SUFFIX}")


class Writer:
    """Writes a shard."""

    def __init__(self, file: BinaryIO, settings: Settings, maps: Maps) -> None:
        self._tar = TarWriter(file)
        self._shift = maps[0].stride[-1] / RATE  # seconds

    def write(self, entry: Entry) -> None:
        """Add the one map of a recording."""
        (grid,) = entry.maps
        array = {"storage_type": "shar", "storage_path": "", "storage_key": ""}
        told = {
            "array": {**array, "shape": list(grid.T.shape)},
            "temporal_dim": 0,
            "frame_shift": self._shift,
            "start": 0,
        }
        self._tar.add(f"{entry.key}.npy", npy(grid.T))
        self._tar.add(f"{entry.key}.json", json.dumps(told).encode() + b"\n")

    def skip(self, key: str) -> None:
        """Leave the place of a recording empty."""
        self._tar.add(f"{key}.nodata", b"")
        self._tar.add(f"{key}.nometa", b"")

    def close(self) -> None:
        """Write the end."""
        self._tar.close()
