"""What is told of index maps beside them, as a tree that JSON can hold."""

from typing import TYPE_CHECKING, Any

from vqcodec.errors import FormatError
from vqcodec.files.contents import INFOS, AudioInfo, Contents, ImageInfo, MediaInfo, VideoInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray


def of_codes(codes: Contents) -> dict[str, Any]:
    """Return what is told of codes of any kind."""
    return {
        "model": codes.model,
        "codebook_id": codes.codebook_id.hex(),
        "codebook_sizes": codes.codebook_sizes,
        "axes": codes.axes,
        "modality": codes.modality,
        "size": codes.media.size,
        "coded_size": codes.media.coded_size,
        **({"condition": codes.condition} if codes.condition else {}),
    }


def of_media(media: MediaInfo) -> dict[str, Any]:
    """Return what one kind of media tells of its own, but for arrays."""
    if isinstance(media, AudioInfo):
        return {"sample_rate": media.sample_rate, "level": media.level}
    if isinstance(media, VideoInfo):
        return {"frame_rate": media.frame_rate}
    if isinstance(media, ImageInfo) and media.tint is not None:
        return {"tint_step": media.tint.step}
    return {}


def restore(meta: dict[str, Any], grids: "tuple[NDArray[Any], ...]", **told: Any) -> Contents:
    """Return the codes that a tree was told of.

    Args:
        meta: as `of_codes` and `of_media` write it.
        grids: the index maps, uint16.
        told: of the media: transparency, or who speaks.

    Raises:
        FormatError: it is malformed, or does not fit the maps.
        KeyError: something is missing.
        TypeError: something is told that such media do not have.
        ValueError: something is not what it should be.
    """
    told |= {k: int(meta[k]) for k in ("sample_rate", "level") if k in meta}
    if "frame_rate" in meta:
        told["frame_rate"] = ints(meta["frame_rate"])
    axes = str(meta["axes"])
    return Contents(
        grids=grids,
        codebook_sizes=ints(meta["codebook_sizes"]),
        axes=axes,
        model=str(meta["model"]),
        codebook_id=bytes.fromhex(meta["codebook_id"]),
        media=INFOS[axes](ints(meta["size"]), ints(meta["coded_size"]), **told),
        condition=int(meta.get("condition", 0)),
    )


def ints(values: Any) -> tuple[int, ...]:
    """Return a list of a few numbers as a tuple; raise FormatError for anything else."""
    if not isinstance(values, list) or not all(type(v) is int for v in values) or len(values) > 16:
        raise FormatError("a list of numbers in its 'meta' is malformed")
    return tuple(values)
