"""What video files there are, and how to tell one by its beginning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vqcodec.media.soundformats import STILL

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".flv")
    + (".wmv", ".asf", ".ogv", ".3gp", ".y4m", ".mxf", ".ivf", ".nut")
)
# FFmpeg's names of what may be opened: none of those that follow a list to other files
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,live_flv,asf,ogg,yuv4mpegpipe,mxf,"
    "ivf,nut,dv,rm,wtv,obu,h264,hevc,av1,m4v,mpegvideo,gif,apng,webp_anim,webp,swf,nsv,vc1"
)
SOUND_BRANDS = (b"M4A ", b"M4B ", b"F4A ")
ANIMATED = (b"GIF8", b"RIFF", b"\x89PNG")  # read by Pillow: GIF, WebP, APNG


def video_suffixes() -> frozenset[str]:
    """Return the file suffixes, with dots and in lower case, that video can be read from."""
    return VIDEO_SUFFIXES


def _mp4(head: bytes) -> bool:
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    return head[4:8] in boxes and head[8:12] not in (*SOUND_BRANDS, *STILL)


def _packets(head: bytes) -> bool:
    """Tell whether it is an MPEG transport stream, of packets that begin alike."""
    first = head.find(b"\x47")
    places = [first + 188 * i for i in range(3)]
    return 0 <= first <= 4 and all(head[p : p + 1] == b"\x47" for p in places)


CONTAINERS: tuple[Callable[[bytes], bool], ...] = (
    _mp4,
    _packets,
    lambda head: head.startswith(b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ",
    lambda head: head.startswith((b"\0\0\1\xba", b"\0\0\1\xb3")),  # MPEG-1 and 2
    lambda head: head.startswith(b"FLV\1"),
    lambda head: head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # Windows Media
    lambda head: head.startswith(b"OggS") and b"theora" in head[:128],
    lambda head: head.startswith((b"YUV4MPEG2", b"DKIF", b"nut/multimedia")),
    lambda head: head.startswith(b"\x06\x0e\x2b\x34"),  # MXF
)


def is_video(head: bytes, suffix: str, path: Path | None = None) -> bool:
    """Tell whether a file should hold video.

    Args:
        head: its first bytes.
        suffix: of its name.
        path: where it lies, to look into a container that may hold sound alone.
    """
    if not any(fits(head) for fits in CONTAINERS):
        return not head and suffix.lower() in VIDEO_SUFFIXES - {".webm"}
    tracks = (b"vide" in head or b"V_" in head), (b"soun" in head or b"A_" in head)
    if tracks[0] or path is None:
        return tracks[0] or not tracks[1]
    found = _pictures_in(path)
    return suffix.lower() in VIDEO_SUFFIXES - {".webm"} if found is None else found


def _pictures_in(path: Path) -> bool | None:
    """Return whether there are moving pictures in a container; None where nobody can tell."""
    try:
        import av
    except ImportError:
        return None
    try:
        with path.open("rb") as file, av.open(file, options=OPTIONS) as container:
            return moving(container) is not None or not container.streams.audio
    except (av.FFmpegError, ValueError, OSError):
        return None


OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}


def moving(container: Any) -> Any:
    """Return the first stream of moving pictures of a container; None where there are none."""
    from av.stream import Disposition

    cover = Disposition.attached_pic | Disposition.still_image
    streams = (s for s in container.streams.video if not s.disposition & cover)
    return next(iter(streams), None)
