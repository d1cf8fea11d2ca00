"""Files of weights that refine what another codec decodes: read for ever, as those of all others.

``pytest --regenerate-golden`` writes these files anew. That is a breaking change for users.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import picture
from vqcodec import Codec, Codes, Image

FOLDER = Path(__file__).parent
WEIGHT = 120.0
CASES = {"plain": (70, 98, False), "alpha": (33, 21, True)}


def original(case: str) -> Image:
    """Return a picture that is smooth on the left."""
    height, width, transparent = CASES[case]
    alpha = None
    if transparent:
        alpha = np.add.outer(np.arange(height), 3 * np.arange(width)).astype(np.uint8)
    pixels = picture(height, width, seed=8)
    pixels[:, : width // 2] = (170, 150, 40)
    return Image(pixels, alpha)


def alpha_of(image: Image) -> bytes | None:
    return None if image.alpha is None else image.alpha.tobytes()


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("case", CASES)
def test_files_and_pixels_stay_as_they_are(
    case: str, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    codec = Codec.load("image", device="cpu", precision="fp32", engine=engine)
    npz, vqc, png = (FOLDER / f"image-{case}{suffix}" for suffix in (".npz", ".vqc", ".png"))
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(original(case), rate_weight=WEIGHT)
        codes.save(npz, force=True)
        codec.without_unseen(codes).save(vqc, force=True)
        codec.decode(codes).save(png, force=True)
    codes, small = Codes.load(npz), Codes.load(vqc)
    assert vqc.read_bytes()[3] == 2  # which is written as version 4 today: see test_golden.py
    kept = Image.open(png)
    for one in (codes, small):
        decoded = codec.decode(one)
        assert np.abs(decoded.pixels.astype(int) - kept.pixels).max() <= 1
        assert alpha_of(decoded) == alpha_of(kept)
    fresh = codec.encode(original(case), rate_weight=WEIGHT)
    # networks compute in floating point: a few ties may fall the other way elsewhere
    assert all(np.mean(a == b) > 0.95 for a, b in zip(fresh.grids, codes.grids, strict=True))


def test_a_preview_is_what_the_first_codec_makes() -> None:
    codes = Codes.load(FOLDER / "image-plain.vqc", levels=1)
    assert len(codes.grids) == 1
    codec = Codec.load("image", device="cpu", precision="fp32")
    whole = Codes.load(FOLDER / "image-plain.vqc")
    assert np.array_equal(codec.decode(codes).pixels, codec.decode(whole, levels=1).pixels)
