"""What was written once must be read forever: exact bytes, and pixels within one grey level.

``pytest --regenerate-golden`` writes these files anew. That is a breaking change for users.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import picture
from vqcodec import Codec, Codes, Image
from vqcodec.files.vqc import is_coded
from vqcodec.weights import list_weights

FOLDER = Path(__file__).parent
SHIPPED = sorted(p.name for p in (FOLDER.parents[1] / "weights").iterdir() if p.is_dir())
CODED = ("plain",)  # the other is so small that packed bits win
CASES = {"plain": (70, 98, False), "alpha": (33, 21, True)}


def original(case: str) -> Image:
    height, width, transparent = CASES[case]
    alpha = None
    if transparent:
        alpha = np.add.outer(np.arange(height), 3 * np.arange(width)).astype(np.uint8)
    return Image(picture(height, width, seed=5), alpha)


def test_weights_are_shipped_and_found_by_name() -> None:
    assert "image-f4" in SHIPPED
    assert set(SHIPPED) <= {w.name for w in list_weights()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", SHIPPED)
def test_files_and_pixels_stay_as_they_are(
    name: str, case: str, request: pytest.FixtureRequest
) -> None:
    codec = Codec.load(name, device="cpu", precision="fp32")
    base = FOLDER / f"{name}-{case}"
    suffixes = (".npz", ".vqc", ".packed.vqc", ".png")
    files = {suffix: Path(f"{base}{suffix}") for suffix in suffixes}
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(original(case))
        for suffix in suffixes[:-1]:
            codes.save(files[suffix], force=True, prior=suffix != ".packed.vqc")
        codec.decode(codes).save(files[".png"], force=True)
    codes = Codes.load(files[".npz"])
    for suffix, prior in ((".vqc", True), (".packed.vqc", False)):
        assert Codes.load(files[suffix]) == codes
        assert codes.to_bytes(".vqc", prior=prior) == files[suffix].read_bytes()
        # exact on every machine: nothing between file and indices is approximate
        assert is_coded(files[suffix].read_bytes()) == (prior and case in CODED)
    assert codes.codebook_id == codec.weights.codebook_id
    kept, decoded = Image.open(files[".png"]), codec.decode(codes)
    assert np.abs(decoded.pixels.astype(int) - kept.pixels).max() <= 1
    assert (decoded.alpha is None) == (kept.alpha is None)
    fresh = codec.encode(original(case))
    # The encoder computes in floating point: a few ties may fall the other way elsewhere.
    assert np.mean(fresh.grids[0] == codes.grids[0]) > 0.98
    assert fresh.media == codes.media
