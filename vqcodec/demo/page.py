"""A page that codes pictures in a browser: one file that needs nothing else, not even a network.

It holds a codec's graphs, ONNX Runtime's WebAssembly that computes them, and ``codec.js``, which
does what `ImageCodec` does, tile by tile; ``npz.js`` writes code files as `vqcodec.files.npz`.
"""

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from vqcodec.codec.graphfiles import read_graph
from vqcodec.codec.image import ImageCodec
from vqcodec.demo.runtime import VERSION, embedded
from vqcodec.errors import OutputError
from vqcodec.figures.codebook import CodebookChart
from vqcodec.files import npz
from vqcodec.files.atomic import writing
from vqcodec.weights import DECODER, ENCODER

PAGE = "index.html"
PLACES = {"style": "demo.css", "npz": "npz.js", "codec": "codec.js", "demo": "demo.js"}


def write_page(codec: ImageCodec, runtime: dict[str, bytes], folder: Path, *, force: bool) -> Path:
    """Write the page of a codec, and return its path.

    Args:
        codec: whose weights have graphs.
        runtime: see `fetch_runtime`.
        folder: where to, made if need be.
        force: replace a page that is there.

    Raises:
        OutputError: it is there and `force` is not given, or it cannot be written.
        WeightsError: the graphs are damaged.
    """
    package = files("vqcodec.demo")
    text = package.joinpath(PAGE).read_text(encoding="utf-8")
    graphs = {"encoder": ENCODER, "decoder": DECODER}
    data = {place: read_graph(codec.weights, file) for place, file in graphs.items()}
    parts = {
        **{p: package.joinpath(f).read_text(encoding="utf-8").rstrip() for p, f in PLACES.items()},
        **{place: embedded(content) for place, content in (data | runtime).items()},
        "facts": json.dumps(_facts(codec), separators=(",", ":")),
    }
    for place, part in parts.items():
        text = text.replace(f"__{place.upper()}__", part)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from None
    with writing(folder / PAGE, force=force) as file:
        file.write(text.encode())
    return folder / PAGE


def _facts(codec: ImageCodec) -> dict[str, Any]:
    """Return what the page has to know of a codec."""
    engine, levels = codec.engine, range(len(codec.maps))
    patches = [CodebookChart.of(codec, level).patches for level in levels]
    return {
        "format": npz.VERSION,
        "axes": codec.modality.axes,
        "modality": codec.modality.name,
        "model": codec.weights.name,
        "codebook_id": codec.weights.codebook_id.hex(),
        "maps": [asdict(spec) for spec in codec.maps],
        "encoder_halo": engine.encoder_halo,
        "decoder_halo": engine.decoder_halo,
        "colours": [patch.mean((1, 2)).round().astype(int).tolist() for patch in patches],
        "runtime": VERSION,
    }
