"""Video files that a prior of successive frames codes must be read forever: exact bytes."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import picture
from vqcodec import Codes
from vqcodec.codec.refined import DEFAULT_WEIGHT
from vqcodec.codec.video import VideoCodec
from vqcodec.coding.framemodel import FrameModel
from vqcodec.files import vqc
from vqcodec.framepriors import frame_prior
from vqcodec.weights import list_weights

FOLDER = Path(__file__).parent
FRAMED = [w.name for w in list_weights() if isinstance(frame_prior(w), FrameModel)]


def walk() -> np.ndarray:
    """Frames of a view that moves: a group, and two frames of another."""
    wide = picture(50, 66 + 3 * 34, seed=5)
    return np.stack([wide[:, 3 * t : 3 * t + 66] for t in range(34)])


def test_weights_with_a_prior_of_frames_are_shipped() -> None:
    assert "video-frames" in FRAMED


def test_files_of_what_moved_stay_as_they_are(request: pytest.FixtureRequest) -> None:
    codec = VideoCodec.load("video", device="cpu", engine="torch")
    npz, vqc = (FOLDER / f"video-walk{suffix}" for suffix in (".npz", ".vqc"))
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(walk())
        for path in (npz, vqc):
            codes.save(path, force=True)
    codes = Codes.load(vqc)
    assert codes.to_bytes(".vqc") == vqc.read_bytes()
    kept = Codes.load(npz).grids
    assert all((a == b).all() for a, b in zip(codes.grids, kept, strict=True))
    assert vqc.stat().st_size < len(codes.to_bytes(".vqc", prior=False)) / 3
    # on other machines rounding may differ, and a frame is made of the frame before
    mean = np.square(codec.decode(codes).pixels.astype(float) - walk()).mean()
    assert 10 * np.log10(255**2 / mean) > 26
    fresh = codec.encode(walk(), rate_weight=DEFAULT_WEIGHT)
    assert abs(len(fresh.to_bytes(".vqc")) / vqc.stat().st_size - 1) < 0.05


@pytest.mark.parametrize("name", FRAMED)
def test_files_of_video_stay_as_they_are(name: str, request: pytest.FixtureRequest) -> None:
    codec = VideoCodec.load(name, device="cpu", precision="fp32", engine="torch")
    files = {suffix: FOLDER / f"{name}-walk{suffix}" for suffix in (".npz", ".vqc")}
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(walk())
        for path in files.values():
            codes.save(path, force=True)
    codes, data = Codes.load(files[".npz"]), files[".vqc"].read_bytes()
    assert Codes.load(files[".vqc"]) == codes
    assert codes.to_bytes(".vqc") == data
    assert len(data) < len(vqc.dump(codes))  # so it is range-coded
    fresh = codec.encode(walk())
    assert np.mean(fresh.grids[0] == codes.grids[0]) > 0.98  # ties may fall the other way
    assert fresh.media == codes.media
