"""A sample of a token shard, on its way to any format or back."""

import json
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vqcodec.errors import FormatError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import AudioInfo, VideoInfo
from vqcodec.files.meta import of_codes, of_media, restore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Maps = tuple[NDArray[np.uint16], ...]


@dataclass
class Entry:
    """One sample.

    Attributes:
        key: the source's.
        maps: its index maps, coarse to fine.
        meta: JSON of what its codes tell beside them; empty where the format has no room for it.
        more: other files of it, by extension.
    """

    key: str
    maps: "Maps"
    meta: bytes = b""
    more: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, codes: Codes, more: dict[str, bytes]) -> "Entry":
        """Return the entry of codes."""
        meta: dict[str, Any] = {**of_codes(codes), **of_media(codes.media)}
        if isinstance(codes.media, AudioInfo) and codes.media.speaker:
            meta["speaker"] = codes.media.speaker.hex()
        if isinstance(codes.media, VideoInfo) and codes.media.durations:
            meta["durations"] = codes.media.durations
        return cls(key, codes.grids, json.dumps(meta).encode(), more)

    def codes(self) -> Codes:
        """Return the codes.

        Raises:
            FormatError: it does not tell enough to make codes of, or what makes no sense.
        """
        if not self.meta:
            raise FormatError(f"'{self.key}': indices alone, without what decoding needs to know")
        try:
            meta = json.loads(self.meta)
            told: dict[str, Any] = {}
            if "speaker" in meta:
                told["speaker"] = bytes.fromhex(meta["speaker"])
            if "durations" in meta:
                told["durations"] = tuple(map(operator.index, meta["durations"]))
            return Codes(**vars(restore(meta, self.maps, **told)))
        except FormatError as error:
            raise FormatError(f"'{self.key}': {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FormatError(f"'{self.key}': what it tells of its codes makes no sense") from None


def map_names(number: int, separator: str) -> list[str]:
    """Return the names of index maps: ``indices``, or ``indices``, separator, number for each."""
    return ["indices"] if number == 1 else [f"indices{separator}{i}" for i in range(number)]
