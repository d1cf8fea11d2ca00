"""Files of version 4, by the number of a profile in place of what it says."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vqcodec import Codes
from vqcodec.codingpriors import any_coding_prior
from vqcodec.errors import FormatError
from vqcodec.files import vqc
from vqcodec.files.codes import axes_of
from vqcodec.files.header import Header, read_header
from vqcodec.files.profiles import PROFILES, profile_of
from vqcodec.files.reader import Reader
from vqcodec.weights import read_weights

GOLDEN = Path(__file__).parents[1] / "golden"
BOX = Path(__file__).parents[2] / "weights"
WRITTEN = sorted(GOLDEN.glob("*.short.vqc"))


def written(kind: str = "image-plain") -> bytes:
    return (GOLDEN / f"{kind}.short.vqc").read_bytes()


def refusal(data: bytes) -> str:
    with pytest.raises(FormatError) as error:
        Codes.from_bytes(data, "f.vqc")
    return str(error.value)


def test_numbers_name_one_profile_each_and_all_are_tried() -> None:
    numbers = [profile.number for profile in PROFILES]
    assert sorted(set(numbers)) == numbers and 1 <= numbers[0] <= numbers[-1] <= 255
    assert {read_header(Reader(path.read_bytes())).profile for path in WRITTEN} == set(PROFILES)


def test_weights_in_the_box_have_a_profile_for_their_coding_priors() -> None:
    """A coding prior that is trained anew wants a profile of its own."""
    known = {(p.model, p.priors(len(p.maps))) for p in PROFILES}
    for weights in map(read_weights, (p for p in BOX.iterdir() if p.is_dir())):
        most = weights.with_codebooks(max(1, len(weights.codebook_ids)))
        found = any_coding_prior(most)
        alone = found if isinstance(found, tuple) else (found,) * len(weights.codebook_sizes)
        assert not found or (weights.name, tuple(p.identity for p in alone)) in known


def test_little_is_said_before_the_indices() -> None:
    codes = Codes.load(GOLDEN / "image-plain.vqc")
    bare = replace(codes, media=replace(codes.image, tint=None))
    assert bare.image.size == bare.image.coded_size == (70, 98)
    start = [*b"VQC", 4, 1, 0b100 | (len(codes.grids) - 1) << 3, codes.condition, 69, 97]
    assert list(bare.to_bytes(".vqc")[:9]) == start


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: p.name.split(".")[0])
def test_no_damage_goes_unnoticed(path: Path) -> None:
    data, codes = path.read_bytes(), Codes.load(path)
    rng = random.Random(0)
    places = [*range(24, 64), *rng.sample(range(64, 8 * len(data)), 24)]
    for place in places:
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(FormatError):
            Codes.from_bytes(bytes(changed), "f.vqc")
    for length in rng.sample(range(len(data)), 12):
        try:
            fewer = Codes.from_bytes(data[:length], "f.vqc")
        except FormatError:
            continue
        assert fewer.missing and fewer.grids[0].tolist() == codes.grids[0].tolist()
    assert "followed by foreign bytes" in refusal(data + b"\0") or len(codes.grids) == 1


def test_a_file_may_end_where_a_map_ends_and_tells_the_bytes_of_maps() -> None:
    data, codes = written(), Codes.from_bytes(written(), "f.vqc")
    sizes = vqc.map_bytes(data)
    assert len(sizes) == len(codes.grids) > 2
    ends = [len(data) - rest for rest in itertools.accumulate(reversed(sizes))]
    for held, end in enumerate(reversed(ends[:-1]), 1):
        fewer = Codes.from_bytes(data[:end], "f.vqc")
        assert len(fewer.grids) == held and fewer.missing == len(codes.grids) - held
        assert np.array_equal(fewer.grids[-1], codes.grids[held - 1])
        assert "--partial" in refusal(data[: end + 1])
    assert Codes.from_bytes(data, "f.vqc", levels=1).grids[0].tolist() == codes.grids[0].tolist()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (4, 0, "newer version of vqcodec"),
        (4, 255, "newer version of vqcodec"),
        (5, 0x80, "newer version of vqcodec"),
        (5, 0b0010_1100, "damaged: 6 index maps"),
        (6, 0, "damaged: a condition of 0"),
        (6, 200, "damaged: its maps or condition"),
    ],
)
def test_headers_that_lie_are_refused(place: int, value: int, said: str) -> None:
    data = bytearray(written())
    data[place] = value
    assert said in refusal(bytes(data))


def test_axes_are_told_by_the_profile(tmp_path: Path) -> None:
    assert axes_of(GOLDEN / "image-plain.short.vqc") == "hw"
    assert axes_of(GOLDEN / "speech-64x.short.vqc") == "ct"
    unknown = tmp_path / "u.vqc"
    unknown.write_bytes(b"VQC\4\xff")
    assert axes_of(unknown) is None


def test_what_a_profile_does_not_fit_is_written_as_before() -> None:
    codes = Codes.load(GOLDEN / "image-plain.vqc")
    header = read_header(Reader(written()))
    ids, joint = header.prior_ids, True
    assert profile_of(codes, ids, joint=joint) is PROFILES[0]
    for other in (
        replace(codes, codebook_id=b"abcd"),
        replace(codes, model="mine"),
        replace(codes, grids=codes.grids[:2], codebook_sizes=(512, 255)),
        replace(codes, media=replace(codes.image, tint=None, coded_size=(74, 98))),
    ):
        assert profile_of(other, ids[: len(other.grids)], joint=joint) is None
    assert profile_of(codes, (b"abcd",) * len(ids), joint=joint) is None
    assert profile_of(codes, ids, joint=False) is None
    other = replace(codes, model="mine")
    assert Header.of(other, ids, joint=True).version == 2
    packed = codes.to_bytes(".vqc", prior=False)
    assert packed[3] == 2 and Codes.from_bytes(packed, "f.vqc") == codes
