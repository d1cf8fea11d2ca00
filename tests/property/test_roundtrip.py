"""Whatever codes there are, their files give them back."""

import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqcodec.files.codes import Codes
from vqcodec.files.contents import AXES, INFOS, ImageInfo
from vqcodec.files.npz import dump as dump_npz
from vqcodec.files.vqc import dump as dump_vqc

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)


@st.composite
def codes(draw: st.DrawFn) -> Codes:
    """Codes of any axes, one to three maps, with and without scaling, transparency, a speaker."""
    axes = draw(st.sampled_from(AXES))
    coded = tuple(draw(st.lists(st.integers(1, 40), min_size=len(axes), max_size=len(axes))))
    sizes = draw(st.lists(st.integers(2, 65536), min_size=1, max_size=3))
    grids = []
    for size in sizes:
        space = draw(st.integers(1, 9))
        time = draw(st.integers(1, 9))
        strides = {"hw": (space, space), "ct": (1, time), "thw": (time, space, space)}[axes]
        shape = tuple(-(-n // s) for n, s in zip(coded, strides, strict=True))
        elements = st.integers(0, size - 1)
        grids.append(draw(hnp.arrays(np.uint16, shape, elements=elements)))
    frames = [grid[:1] for grid in grids]
    original = coded if draw(st.booleans()) else tuple(n + draw(st.integers(0, 300)) for n in coded)
    told: tuple[Any, ...] = ()
    if axes == "hw" and draw(st.booleans()):
        told = (draw(hnp.arrays(np.uint8, original)),)
    if axes == "thw":
        told = ((draw(st.integers(1, 1 << 31)), draw(st.integers(1, 1 << 31))),)
        if draw(st.booleans()):  # as many frames as maps, each shown for a time of its own
            original, grids = (coded[0], *original[1:]), [g.repeat(coded[0], 0) for g in frames]
            times = st.lists(st.integers(1, 1 << 40), min_size=coded[0], max_size=coded[0])
            told += (tuple(draw(times.filter(lambda t: set(t) != {1}))),)
    if axes == "ct":
        told = (
            draw(st.integers(0, 1 << 20)),
            draw(st.integers(-128, 127)),
            draw(st.binary(max_size=99)),
        )
    media = INFOS[axes](original, coded, *told)
    codebook_id = draw(st.binary(min_size=4, max_size=4))
    return Codes(tuple(grids), tuple(sizes), axes, draw(NAMES), codebook_id, media)


@given(codes())
@settings(max_examples=200, deadline=None)
def test_files_give_back_the_codes(given_codes: Codes) -> None:
    for suffix in (".npz", ".vqc"):
        data = given_codes.to_bytes(suffix)
        again = Codes.from_bytes(data, "test")
        assert again == given_codes
        assert again.to_bytes(suffix) == data


@given(codes())
@settings(max_examples=50, deadline=None)
def test_numpy_reads_npz_without_pickles(given_codes: Codes) -> None:
    with np.load(io.BytesIO(dump_npz(given_codes)), allow_pickle=False) as archive:
        key = "indices" if len(given_codes.grids) == 1 else "indices_0"
        np.testing.assert_array_equal(archive[key], given_codes.grids[0])
        assert archive[key].dtype == np.uint16
        assert archive["meta"].ndim == 0


@given(codes())
@settings(max_examples=50, deadline=None)
def test_every_truncation_and_extension_is_an_error(given_codes: Codes) -> None:
    from vqcodec.errors import FormatError

    data = dump_vqc(given_codes)
    for wrong in [data[:i] for i in range(0, len(data), max(1, len(data) // 60))] + [data + b"\0"]:
        try:
            found = Codes.from_bytes(wrong, "test")
        except FormatError:
            continue
        there = len(found.grids)  # a file may end where a map ends
        assert there < len(given_codes.grids) and found == given_codes.first(there)


def test_a_128x128_picture_fits_1180_bytes() -> None:
    grid = np.random.default_rng(0).integers(0, 512, (32, 32)).astype(np.uint16)
    made = Codes((grid,), (512,), "hw", "image-f4", b"abcd", ImageInfo((128, 128), (128, 128)))
    assert len(made.to_bytes(".vqc")) == 1180
