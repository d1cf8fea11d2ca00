"""What `vqcodec.ray.Encoder` makes of a batch; Ray itself is not needed for that."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import picture
from vqcodec.codec.image import Codec
from vqcodec.errors import UsageError, WeightsError
from vqcodec.media.image import Image
from vqcodec.ray import Encoder


def png(height: int, width: int, seed: int) -> bytes:
    file = io.BytesIO()
    Image(picture(height, width, seed)).write(file, "PNG", "picture")
    return file.getvalue()


def test_files_become_codes_and_all_else_stays() -> None:
    data = [png(24, 32, 0), b"no picture", png(24, 24, 1)]
    batch = {"bytes": np.array(data, object), "label": np.arange(3), "note": np.array(list("abc"))}
    encoder = pickle.loads(pickle.dumps(Encoder("tiny", precision="fp32")))
    found = encoder(batch)
    assert list(found) == ["label", "note", "indices", "height", "width", "meta", "error"]
    assert found["label"] is batch["label"] and found["note"] is batch["note"]
    assert list(batch) == ["bytes", "label", "note"]
    codec = Codec.load("tiny", "cpu", "fp32")
    for row in (0, 2):
        (grid,) = codec.encode(Image.open(io.BytesIO(data[row]))).grids
        flat = np.array(found["indices"][row])
        assert flat.dtype == np.uint16 and not found["error"][row]
        assert np.array_equal(flat.reshape(found["height"][row], found["width"][row]), grid)
        assert json.loads(found["meta"][row])["model"] == "tiny"
    assert not found["indices"][1] and found["height"][1] == 0
    assert found["error"][1] == "row 1: not a picture that Pillow can read"


def test_arrays_become_codes_as_files_do() -> None:
    pixels = np.stack([picture(24, 32, seed) for seed in range(3)])
    encoder = Encoder("tiny", "image", precision="fp32")
    found = encoder({"image": pixels})
    (grids,) = Codec.load("tiny", "cpu", "fp32").encode_batch(pixels)
    assert np.array_equal(np.array(list(found["indices"])).reshape(grids.shape), grids)
    grey = encoder({"image": pixels[..., 0]})
    assert all("(H, W, 3)" in error for error in grey["error"])
    assert encoder({"image": pixels[:0]}) == {}


@pytest.mark.usefixtures("paired_weights")
def test_several_maps_are_columns_each() -> None:
    found = Encoder("paired", "image")({"image": picture(24, 32)[None]})
    for name in ("indices_0", "height_0", "width_0", "indices_1", "height_1", "width_1"):
        assert name in found


def test_what_cannot_work_is_said_in_a_sentence(tmp_path: Path) -> None:
    batch = {"bytes": np.array([png(24, 24, 0)], object), "height": np.arange(1)}
    with pytest.raises(UsageError, match="no column 'image'; there are: bytes, height"):
        Encoder("tiny", "image")(batch)
    with pytest.raises(UsageError, match="a column 'height' already"):
        Encoder("tiny")(batch)
    with pytest.raises(WeightsError, match="^node .*: no weights named 'nobody' are installed"):
        Encoder("nobody")(batch)
