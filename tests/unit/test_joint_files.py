"""Files of several maps that one prior codes together, and files that were cut short."""

import json
import shutil
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import twomaps
from tests.helpers import Run, lattice_prior, picture
from vqcodec import Codec, Codes, Image
from vqcodec.coding.lattice import LatticeModel
from vqcodec.codingpriors import coding_priors
from vqcodec.codingpriors import lattice_prior as installed
from vqcodec.errors import FormatError, UsageError, VqcodecError, WeightsError
from vqcodec.evaluate.bits import CODING, BitMeter
from vqcodec.files import joint, vqc
from vqcodec.files.contents import ImageInfo
from vqcodec.files.header import Header, read_header, write_header
from vqcodec.files.reader import Reader
from vqcodec.maps import MapSpec
from vqcodec.models.fixedpoint import to_arrays
from vqcodec.models.pretrained import prior_bytes, write_part
from vqcodec.weights import read_weights


@pytest.fixture
def codec(latticed_weights: Path) -> Codec:
    return Codec.load("latticed", device="cpu", precision="fp32")


def skewed(codec: Codec, height: int, width: int, condition: int = 0) -> Codes:
    """Codes whose small indices are the frequent ones, as the coding prior expects."""
    rng = np.random.default_rng(0)
    grids = tuple(
        np.minimum(rng.geometric(0.3, spec.shape((height, width))) - 1, spec.codebook_size - 1)
        for spec in codec.maps
    )
    size = (height, width)
    return Codes(
        tuple(grid.astype(np.uint16) for grid in grids),
        codec.codebook_sizes,
        "hw",
        "latticed",
        codec.weights.codebook_id,
        ImageInfo(size, size),
        condition,
    )


@pytest.mark.parametrize("size", [(90, 131), (24, 20), (1, 700), (9, 1100), (1100, 2100)])
def test_maps_are_coded_together(codec: Codec, size: tuple[int, int]) -> None:
    codes = skewed(codec, *size, condition=2)
    coded, packed = codes.to_bytes(".vqc"), codes.to_bytes(".vqc", prior=False)
    assert len(coded) < len(packed)
    model = installed(codec.weights)
    assert model is not None and coding_priors(codec.weights) == ()
    header = read_header(Reader(coded))
    assert (header.version, header.joint, header.condition) == (2, True, 2)
    assert header.prior_ids == (model.identity,) * 2
    for data in (coded, packed, codes.to_bytes(".npz")):
        assert Codes.from_bytes(data, "x") == codes
    assert sum(vqc.map_bytes(coded)) < len(coded) < sum(vqc.map_bytes(coded)) + 40
    each = BitMeter(codec).measure(codes)[CODING]
    for own, size_of_map in zip(each, vqc.map_bytes(coded), strict=True):
        most = 56 + 0.02 * own  # checksums, lengths and ends of lanes
        assert 0 < 8 * size_of_map - own < most


def test_bytes_do_not_depend_on_the_number_of_threads(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = skewed(codec, 1100, 1300)
    once = codes.to_bytes(".vqc")
    for cores, together in ((1, 9), (3, 1)):
        monkeypatch.setattr("vqcodec.files.frames.usable_cores", lambda cores=cores: cores)
        monkeypatch.setattr(joint, "TOGETHER", together)
        assert codes.to_bytes(".vqc") == once
        assert Codes.from_bytes(once, "x") == codes


def test_every_bit_matters(codec: Codec) -> None:
    data = skewed(codec, 24, 20, condition=1).to_bytes(".vqc")
    assert vqc.is_coded(data)
    for position in range(8 * len(data)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(VqcodecError):
            Codes.from_bytes(bytes(changed), "flipped")
    for extra in (b"\0", b"\xff" * 9):
        with pytest.raises(FormatError, match="foreign"):
            Codes.from_bytes(data + extra, "longer")


@pytest.mark.parametrize("prior", [True, False])
def test_a_file_may_end_where_a_map_ends(codec: Codec, prior: bool) -> None:
    codes = skewed(codec, 64, 72)
    data = codes.to_bytes(".vqc", prior=prior)
    end = len(data) - vqc.map_bytes(data)[1]
    assert Codes.from_bytes(data[:end], "cut") == codes.first(1)
    preview = codec.decode(codes.first(1))
    np.testing.assert_array_equal(preview.pixels, codec.decode(codes, levels=1).pixels)
    for length in range(len(data)):
        part = data[:length]
        if length >= end:
            assert Codes.from_bytes(part, "cut", partial=True) == codes.first(1)
            assert Codes.from_bytes(part, "cut", levels=1) == codes.first(1)
        if length != end:
            with pytest.raises(FormatError) as caught:
                Codes.from_bytes(part, "cut", partial=length < end)
            told = "of its 2 maps the first is whole" in str(caught.value)
            assert told == (length > end)
    assert Codes.from_bytes(data, "whole", levels=1) == codes.first(1)
    assert Codes.from_bytes(data, "whole", partial=True, levels=7) == codes
    changed = bytearray(data)
    changed[end - 1] ^= 1  # the checksum of the first map
    for cut in (end, end + 3, len(data)):
        with pytest.raises(FormatError, match="checksum"):
            Codes.from_bytes(bytes(changed[:cut]), "x", partial=True)


def test_codes_of_the_coarser_maps_are_codes(codec: Codec) -> None:
    codes = skewed(codec, 64, 72).first(1)
    for data in (codes.to_bytes(".vqc"), codes.to_bytes(".npz")):
        assert Codes.from_bytes(data, "x") == codes
    with pytest.raises(UsageError, match="must be 1 to 1"):
        codec.decode(codes, levels=2)
    wrong = replace(codes, grids=(codes.grids[0][1:],))
    with pytest.raises(FormatError, match="does not fit"):
        codec.decode(wrong)


def header(codec: Codec, **changes: object) -> bytes:
    """The header of a jointly coded file of codes at strides 8 and 4, some things changed."""
    model = installed(codec.weights)
    assert model is not None
    sizes = codec.codebook_sizes
    fields = {
        "axes": "hw",
        "model": "latticed",
        "codebook_id": codec.weights.codebook_id,
        "maps": (MapSpec(sizes[0], (8, 8)), MapSpec(sizes[1], (4, 4))),
        "media": ImageInfo((640, 640), (640, 640)),
        "prior_ids": (model.identity,) * 2,
        "joint": True,
        **changes,
    }
    return write_header(Header(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"condition": 3}, "condition"),
        ({"maps": (MapSpec(32, (8, 8)), MapSpec(24, (4, 4)))}, "not those of its coding prior"),
        ({"maps": (MapSpec(24, (4, 4)), MapSpec(32, (8, 8)))}, "do not lie|truncated"),
        ({"maps": (MapSpec(24, (16, 16)), MapSpec(32, (4, 4)))}, "coding prior"),
        ({"maps": (MapSpec(24, (8, 8)), MapSpec(32, (8, 8)))}, "coding prior"),
        ({"maps": (MapSpec(24, (8, 8)), MapSpec(32, (3, 3)))}, "do not lie|truncated"),
        ({"prior_ids": (b"abcd",) * 2}, "needs the coding prior"),
        ({"codebook_id": b"abcd"}, "needs the coding prior"),
    ],
)
def test_headers_that_lie_are_refused(codec: Codec, changes: dict[str, object], said: str) -> None:
    with pytest.raises(VqcodecError, match=said):
        Codes.from_bytes(header(codec, **changes) + bytes(3), "x", partial=True)


def test_a_few_bytes_cannot_claim_much(codec: Codec) -> None:
    begun = time.monotonic()
    for size, strides in (
        ((10_000, 10_000), (2, 1)),
        ((6000, 5000), (2, 1)),
        ((6000, 6000), (8, 8)),
    ):
        maps = tuple(MapSpec(k, (s, s)) for k, s in zip((24, 32), strides, strict=True))
        start = header(codec, media=ImageInfo(size, size), maps=maps)
        tracemalloc.start()
        with pytest.raises(FormatError):
            Codes.from_bytes(start + bytes(100), "x")
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
        tracemalloc.stop()
    assert time.monotonic() - begun < 20


def test_lattice_priors_of_other_maps_are_no_priors_of_these(
    codec: Codec, latticed_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = skewed(codec, 64, 64).to_bytes(".vqc")
    folder = tmp_path / "latticed"
    shutil.copytree(latticed_weights, folder)
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    weights = read_weights(folder)
    table = {"codebook_id": weights.codebook_id.hex()}
    name, other = prior_bytes(lattice_prior(twomaps.SIZES, (1, 2)))
    write_part(weights, table, name, other, force=True)
    with pytest.raises(WeightsError, match="needs the coding prior"):
        Codes.from_bytes(data, "x.vqc")
    for sizes in ((24,), twomaps.SIZES[::-1]):
        name, other = prior_bytes(lattice_prior(sizes, (1, 2)[: len(sizes)]))
        write_part(weights, table, name, other, force=True)
        with pytest.raises(WeightsError, match="not a coding prior of these weights"):
            installed(read_weights(folder))


def test_a_prior_does_not_code_what_it_does_not_fit() -> None:
    model = LatticeModel(to_arrays(lattice_prior((24, 32), (1, 2), conditions=2, slope=0.5)))
    grids = tuple(np.zeros(shape, np.uint16) for shape in ((8, 8), (16, 16)))
    size = (64, 64)
    codes = Codes(grids, (24, 32), "hw", "x", b"abcd", ImageInfo(size, size))
    assert vqc.is_coded(vqc.dump(codes, model))
    for changed in (
        replace(codes, condition=2),
        replace(codes, codebook_sizes=(24, 33)),
        replace(codes, grids=(grids[1], grids[1])),
        replace(codes, grids=(grids[0], grids[0])),
    ):
        data = vqc.dump(changed, model)
        assert not vqc.is_coded(data) and Codes.from_bytes(data, "x") == changed
    with pytest.raises(FormatError, match="impossible condition"):
        replace(codes, condition=256)


@pytest.fixture
def written(latticed_weights: Path, tmp_path: Path, run: Run) -> bytes:
    """The bytes of `a.vqc`, of two maps."""
    Image(picture(52, 44)).save(tmp_path / "a.png")
    assert run("encode", "a.png", "-o", "a.vqc", "--model", "latticed").returncode == 0
    return (tmp_path / "a.vqc").read_bytes()


def test_previews_from_the_command_line(written: bytes, tmp_path: Path, run: Run) -> None:
    codec = Codec.load("latticed", device="cpu")
    codes = Codes.load(tmp_path / "a.vqc")
    preview = codec.decode(codes, levels=1).pixels
    end = len(written) - vqc.map_bytes(written)[1]
    (tmp_path / "cut.vqc").write_bytes(written[:end])
    (tmp_path / "torn.vqc").write_bytes(written[: end + 9])
    codes.save(tmp_path / "a.npz")
    codes.first(1).save(tmp_path / "whole.vqc")  # as where finer maps say nothing
    for name, flags in (
        ("a.vqc", ("--levels", "1")),
        ("a.npz", ("--levels", "1")),
        ("torn.vqc", ("--levels", "1")),
        ("torn.vqc", ("--partial",)),
        ("cut.vqc", ()),
        ("whole.vqc", ()),
    ):
        done = run("decode", name, *flags, "-o", "p.png", "--force", "--json")
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["levels"] == 1
        note = b"cut short, decoded from the coarsest map of 2" in done.stderr
        assert note == (name in ("torn.vqc", "cut.vqc") and "--levels" not in flags)
        assert np.abs(Image.open(tmp_path / "p.png").pixels.astype(int) - preview).max() <= 1
    done = run("decode", "torn.vqc", "-o", "q.png")
    assert (
        done.returncode == 1
        and b"the first is whole, which decode --partial goes by" in done.stderr
    )
    assert not (tmp_path / "q.png").exists()
    done = run("decode", "a.vqc", "--levels", "3", "-o", "q.png")
    assert done.returncode == 1 and b"--levels is 3, it has 2 maps" in done.stderr
    assert run("decode", "a.vqc", "--levels", "0", "-o", "q.png").returncode == 2


def test_info_tells_what_each_map_takes(written: bytes, tmp_path: Path, run: Run) -> None:
    facts = json.loads(run("info", "a.vqc", "--json").stdout)
    assert facts["map_bytes"] == vqc.map_bytes(written) and "missing_maps" not in facts
    end = len(written) - facts["map_bytes"][1]
    (tmp_path / "cut.vqc").write_bytes(written[:end])
    facts = json.loads(run("info", "cut.vqc", "--json").stdout)
    assert facts["missing_maps"] == 1 and facts["maps"] == [[7, 6]] and len(facts["map_bytes"]) == 1


@pytest.mark.parametrize("name", ["a.png", "a.vqc", "cut.vqc"])
def test_inspect_shows_what_each_map_adds(
    written: bytes, name: str, tmp_path: Path, run: Run
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "cut.vqc").write_bytes(written[: -vqc.map_bytes(written)[1]])
    done = run("inspect", name, "-o", "f.svg", "--model", "latticed")
    assert done.returncode == 0, done.stderr.decode()
    assert (b"From the coarsest map" in (tmp_path / "f.svg").read_bytes()) == (name != "cut.vqc")
