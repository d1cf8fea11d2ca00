"""Files of maps that one prior codes together must be read forever: exact bytes.

The prior is a small one that has learned nothing, and is kept beside them.
"""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.helpers import lattice_prior
from vqcodec import Codes
from vqcodec.coding.lattice import LatticeModel
from vqcodec.files import vqc
from vqcodec.files.contents import ImageInfo
from vqcodec.models.pretrained import prior_bytes

FOLDER = Path(__file__).parent
PRIOR, NPZ, VQC = (FOLDER / f"lattice{suffix}" for suffix in (".safetensors", ".npz", ".vqc"))
SIZES, RATIOS = (20, 24, 30), (1, 1, 2)
SIZE = (600, 84)  # at strides 4, 4 and 2: two blocks, of two lanes or one in the finest map


def regenerate() -> None:
    prior = lattice_prior(SIZES, RATIOS, conditions=3, slope=0.3)
    PRIOR.write_bytes(prior_bytes(prior)[1])
    rng = np.random.default_rng(0)
    grids = tuple(
        np.minimum(rng.geometric(0.3, (600 // s, 84 // s)) - 1, k - 1).astype(np.uint16)
        for k, s in zip(SIZES, (4, 4, 2), strict=True)
    )
    codes = Codes(grids, SIZES, "hw", "lattice", b"abcd", ImageInfo(SIZE, SIZE), 2)
    codes.save(NPZ, force=True)
    VQC.write_bytes(codes.to_bytes(".vqc", prior=kept_model()))


def kept_model() -> LatticeModel:
    arrays = safetensors.numpy.load(PRIOR.read_bytes())
    return LatticeModel({name: array.astype(np.int64) for name, array in arrays.items()})


def test_jointly_coded_files_stay_as_they_are(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regenerate-golden"):
        regenerate()
    model, codes, data = kept_model(), Codes.load(NPZ), VQC.read_bytes()
    assert vqc.is_coded(data)
    assert codes.to_bytes(".vqc", prior=model) == data
    assert vqc.load(data, lambda *_: model) == codes
    assert codes.condition == 2 and [grid.shape for grid in codes.grids][2] == (300, 42)
