"""`vqcodec compare`: two pictures, two videos, or two reports."""

from pathlib import Path
from typing import Any

from vqcodec.errors import FormatError, MediaError, UsageError
from vqcodec.evaluate.journal import OURS, PICTURES, RECORDINGS, Journal
from vqcodec.evaluate.results import rate_of, read_results
from vqcodec.evaluate.summary import deltas, differences
from vqcodec.evaluate.table import BYTES, KBPS, RATE, Table
from vqcodec.media.image import Image
from vqcodec.media.video import Video, open_video
from vqcodec.metrics.image import PSNR, find_metrics
from vqcodec.metrics.video import find_metrics as find_video_metrics
from vqcodec.modality import VIDEO, sniff_file

WHITE = (255, 255, 255)
MOST = 1 << 31  # bytes that the pixels of a video may take


def is_report(path: Path) -> bool:
    """Return whether a path names a report rather than a picture.

    Raises:
        MediaError: there is nothing of this name.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file or folder")
    return path.is_dir() or path.suffix.lower() == ".json"


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Compare two pictures, videos or reports; see `compare_pictures` and so on.

    Raises:
        UsageError: one of each.
    """
    kinds = {is_report(a), is_report(b)}
    if len(kinds) > 1:
        raise UsageError(f"{a} and {b}: name two pictures, two videos, or two reports")
    if kinds == {True}:
        return compare_reports(a, b)
    moving = {sniff_file(path) is VIDEO for path in (a, b)}
    if len(moving) > 1:
        raise UsageError(f"{a} and {b}: one is a video, the other a picture")
    return compare_videos(a, b) if moving == {True} else compare_pictures(a, b)


def compare_videos(a: Path, b: Path) -> dict[str, Any]:
    """Return the measures of video B against video A, frame by frame.

    Returns:
        What `compare_pictures` does, and ``frames``, and ``max_seconds``, by how much the times of
        frames differ at most.

    Raises:
        MediaError: one cannot be read, they are too long, or their sizes or numbers differ.
    """
    import numpy as np

    videos = []
    for path in (a, b):
        with open_video(path) as reader:
            videos.append(Video.of(reader, MOST))
    x, y = (video.pixels for video in videos)
    if x.shape != y.shape:
        (s, h, w, _), (t, g, v, _) = x.shape, y.shape
        raise MediaError(
            f"{a} has {s:,} frames of {w}×{h} pixels and {b} {t:,} of {v}×{g}; only videos of one "
            "size and length can be compared"
        )
    metrics, notes = find_video_metrics()
    values = {metric.key: metric.measure(x, y) for metric in metrics}
    times = [np.cumsum(v.durations[:-1]) / float(v.rate) for v in videos]
    identical = bool(np.array_equal(x, y))
    if identical:
        notes.append("the frames are equal, sample for sample")
    return {
        "a": str(a),
        "b": str(b),
        "frames": len(x),
        "width": x.shape[2],
        "height": x.shape[1],
        "metrics": {k: None if identical and k == PSNR.key else v for k, v in values.items()},
        "max_difference": max(
            int(np.abs(p.astype(np.int16) - q).max()) for p, q in zip(x, y, strict=True)
        ),
        "max_seconds": float(np.abs(times[0] - times[1]).max(initial=0.0)),
        "identical": identical,
        "notes": notes,
    }


def compare_pictures(a: Path, b: Path) -> dict[str, Any]:
    """Return the measures of picture B against picture A.

    Returns:
        ``metrics``: values by key, None where not defined; ``max_difference`` of any sample, 0 to
        255; ``identical``; ``notes``.

    Raises:
        MediaError: one cannot be read, or their sizes differ.
    """
    import numpy as np

    images = [Image.open(path) for path in (a, b)]
    (height, width), (other_height, other_width) = (image.size for image in images)
    if images[0].size != images[1].size:
        raise MediaError(
            f"{a} has {width}×{height} pixels and {b} {other_width}×{other_height}; "
            "only pictures of one size can be compared"
        )
    x, y = (image.flatten(WHITE).pixels for image in images)
    metrics, notes = find_metrics()
    if any(image.alpha is not None for image in images):
        notes.append("transparency is put on white")
    values = {}
    for metric in metrics:
        values[metric.key] = metric.measure(x, y)
        if values[metric.key] is None:
            notes.append(f"{metric.label} is not defined for {width}×{height} pixels")
    identical = bool(np.array_equal(x, y))
    if identical:
        notes.append("the pictures are equal, sample for sample")
    return {
        "a": str(a),
        "b": str(b),
        "width": width,
        "height": height,
        # the PSNR of equal pictures is infinite, which JSON cannot say
        "metrics": {k: None if identical and k == PSNR.key else v for k, v in values.items()},
        "max_difference": max(
            int(np.abs(p.astype(np.int16) - q).max()) for p, q in zip(x, y, strict=True)
        ),
        "identical": identical,
        "notes": notes,
    }


def compare_reports(a: Path, b: Path) -> dict[str, Any]:
    """Return how report B differs from report A.

    Returns:
        ``curves``: of both; ``bd``: Bjøntegaard deltas of B against A by metric, none of speech,
        whose curves are of one point; ``points``: for each that both have, by metric
        [mean, low, high] of B minus A over what was measured (None without the journals of both);
        ``notes``.

    Raises:
        FormatError: one is no report, or they are of different data or measures.
    """
    trees = [read_results(path) for path in (a, b)]
    rates = [rate_of(tree["results"]) for tree in trees]
    if rates[0] != rates[1]:
        raise FormatError(f"{a} and {b}: one is of pictures, the other of speech")
    what = "recordings" if rates[0] == KBPS else "pictures"
    notes = []
    data = [tree.get("evaluation", {}).get("data", {}) for tree in trees]
    if all(d.get("digest") for d in data):
        if data[0]["digest"] != data[1]["digest"]:
            numbers = [d.get(what) for d in data]
            raise FormatError(
                f"{a} and {b} are of different {what} ({numbers[0]} and {numbers[1]}), so their "
                "figures cannot be compared"
            )
    else:
        notes.append("a result does not say what it was measured on: see to it that it is the same")
    if not _shared([tree["results"] for tree in trees]):
        raise FormatError(f"{a} and {b}: have no measure of quality in common")
    bd = {} if rates[0] == KBPS else deltas(trees[1]["results"], trees[0]["results"])
    points = _differences([a, b], trees, rates[0])
    if points is None:
        notes.append(f"differences have no intervals: there are not the {what}' figures of both")
    return {
        "a": str(a),
        "b": str(b),
        "names": [str(tree.get("name", path)) for tree, path in zip(trees, (a, b), strict=True)],
        "curves": [tree["results"] for tree in trees],
        "bd": bd,
        "points": points,
        "notes": notes,
    }


def _shared(curves: list[dict[str, Any]]) -> list[str]:
    """Return the measures of quality that both curves have."""
    return [k for k in curves[0] if k in curves[1] and k not in (BYTES, RATE, KBPS)]


def _differences(
    paths: list[Path], trees: list[dict[str, Any]], rate: str
) -> dict[str, Any] | None:
    """Return paired differences at the points that both reports have, from their journals."""
    lines = RECORDINGS if rate == KBPS else PICTURES
    journals = [Journal(path if path.is_dir() else path.parent, lines) for path in paths]
    if not all(
        journal.path.is_file() and "evaluation" in tree
        for journal, tree in zip(journals, trees, strict=True)
    ):
        return None
    keys = _shared([tree["results"] for tree in trees])
    labels = [tree["evaluation"]["points"] for tree in trees]
    shared = [label for label in labels[0] if label in labels[1]]
    tables = [
        Table.collect(journal.records(), [OURS], len(own), keys, rate)
        for journal, own in zip(journals, labels, strict=True)
    ]
    if sorted(tables[0].identities) != sorted(tables[1].identities):
        return None  # one is being continued
    found: dict[str, dict[str, Any]] = {label: {} for label in shared}
    for key in (BYTES, rate, *keys):
        values = []
        for table, own in zip(tables, labels, strict=True):
            order = sorted(range(len(table.names)), key=table.identities.__getitem__)
            values.append(table.column(OURS, key)[order][:, [own.index(p) for p in shared]])
        for label, triple in zip(shared, differences(values[1], values[0]), strict=True):
            found[label][key] = triple
    return found
