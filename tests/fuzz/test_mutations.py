"""Thousands of damaged code files: only FormatError may come out, never other codes than written.

Numbered attacks name what a hostile file might try.
"""

import io
import json
import pickle
import random
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from vqcodec.errors import FormatError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import ImageInfo

GRID = np.random.default_rng(0).integers(0, 512, (12, 17)).astype(np.uint16)
ALPHA = np.random.default_rng(0).integers(0, 256, (48, 66)).astype(np.uint8)
PLAIN = Codes((GRID,), (512,), "hw", "image-f4", b"abcd", ImageInfo((48, 66), (48, 66)))
RICH = Codes(
    (GRID, GRID[::2, ::2]), (512, 700), "hw", "m", b"abcd", ImageInfo((48, 66), (46, 68), ALPHA)
)


def attempt(data: bytes) -> Codes | None:
    """Read a file; None if it is refused as it should be."""
    try:
        return Codes.from_bytes(data, "fuzz")
    except FormatError as error:
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize("suffix", [".npz", ".vqc"])
@pytest.mark.parametrize("codes", [PLAIN, RICH])
def test_random_mutations(codes: Codes, suffix: str) -> None:
    original = codes.to_bytes(suffix)
    rng = random.Random(0)
    for _ in range(1500):
        data = bytearray(original)
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            where = rng.randrange(len(data))
            action = rng.randrange(4)
            if action == 0:
                data[where] ^= 1 << rng.randrange(8)
            elif action == 1:
                data[where] = rng.randrange(256)
            elif action == 2:
                del data[where : where + rng.randrange(1, 20)]
            else:
                data[where:where] = rng.randbytes(rng.randrange(1, 20))
            if not data:
                break
        found = attempt(bytes(data))
        # A zip holds bytes that mean nothing (dates, attributes): then the codes are the same.
        if found is not None and bytes(data) != original:
            assert suffix == ".npz" and found == codes


def test_every_single_bit_of_a_vqc_matters() -> None:
    original = PLAIN.to_bytes(".vqc")
    for position in range(8 * len(original)):
        data = bytearray(original)
        data[position // 8] ^= 1 << position % 8
        assert attempt(bytes(data)) is None, f"bit {position} was not noticed"


def header(**changes: bytes) -> bytes:
    """A .vqc header with some fields replaced."""
    fields = {
        "magic": b"VQC",
        "version": b"\1",
        "flags": b"\0",
        "id": b"abcd",
        "model": b"\1m",
        "grids": b"\1",
        "k": b"\xff\3",
        "stride": b"\3",
        "size": b"\x7f\x7f",
    }
    return b"".join({**fields, **changes}.values())


def vast(bits: int) -> bytes:
    """A varint of about `bits` bits."""
    return b"\xff" * (bits // 7) + b"\x01"


def two_maps(**changes: bytes) -> bytes:
    """A .vqc header of version 2, of two packed maps that are alike."""
    fields = {"version": b"\2", "grids": b"\2", "k": b"\xff\3", "stride": b"\3\0", **changes}
    again = fields["k"] + fields["stride"]
    return header(**{**fields, "stride": fields["stride"] + again})


ATTACKS_VQC: dict[str, bytes] = {
    "01 empty": b"",
    "02 magic alone": b"VQC",
    "03 wrong magic": b"VQD" + header()[3:],
    "04 future version": header(version=b"\3"),
    "05 unknown flags": header(flags=b"\x10"),
    "06 unknown axes": header(flags=b"\3"),
    "07 no grids": header(grids=b"\0"),
    "08 a billion indices": header(size=vast(16) * 2, stride=b"\0"),
    "09 sizes beyond 64 bits": header(size=vast(62) * 2),
    "10 endless varint": header(size=b"\xff" * 100),
    "11 padded varint": header(size=b"\x80\x00\x7f"),
    "12 huge codebook": header(k=vast(40)),
    "13 huge stride": header(stride=vast(60)),
    "14 name that is no ASCII": header(model=b"\2\xff\xfe"),
    "15 empty name": header(model=b"\0"),
    "16 payload missing": header(),
    "17 section longer than the file": header(flags=b"\4") + b"\1" + vast(40),
    "18 sections without end": header(flags=b"\4") + b"\x07\0" * 5,
    "19 alpha bomb": header(flags=b"\4", size=vast(15) * 2)
    + b"\1"
    + bytes([0xC0 | 0x40, 0x07])
    + zlib.compress(bytes(1 << 20), 9)[:960],
    "20 alpha of another size": header(flags=b"\4") + b"\1\x0b" + zlib.compress(b"abc") + b"\0",
    "21 alpha that is no zlib": header(flags=b"\4") + b"\1\3abc\0",
    "22 version 2 without need": header(version=b"\2", stride=b"\3\0") + bytes(2000),
    "23 version 2, flag of version 1": two_maps(flags=b"\x10"),
    "24 a stream of version 2": two_maps(flags=b"\x21"),
    "25 maps held in an unknown way": two_maps(stride=b"\3\2"),
    "26 two maps, payload missing": two_maps(),
    "27 two maps of a billion indices": two_maps(size=vast(16) * 2, stride=b"\0\0"),
}


@pytest.mark.parametrize("attack", ATTACKS_VQC)
def test_attacks_on_vqc(attack: str) -> None:
    tracemalloc.start()
    try:
        assert attempt(ATTACKS_VQC[attack]) is None
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def archive(**members: bytes) -> bytes:
    """A zip of members given by name (without .npy)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "<u2") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (117 - len(text)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def meta(**changes: object) -> bytes:
    fields = {
        "format": 1, "model": "m", "codebook_id": "61626364", "codebook_sizes": [512],
        "axes": "hw", "modality": "image", "size": [48, 66], "coded_size": [48, 66], "alpha": False,
    }  # fmt: skip
    return npy(np.array(json.dumps({**fields, **changes})))


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (_explode, ("unpickled",))


def _explode(what: str) -> None:
    raise SystemExit(what)


ATTACKS_NPZ: dict[str, bytes] = {
    "01 no zip": b"PK\x03\x04" + bytes(100),
    "02 no meta": archive(indices=npy(GRID)),
    "03 no indices": archive(meta=meta()),
    "04 pickled indices": archive(
        meta=meta(), indices=npy(np.array([Evil()], dtype=object), allow_pickle=True)
    ),
    "05 raw pickle": archive(meta=pickle.dumps(Evil()), indices=npy(GRID)),
    "06 claims 186 GiB": archive(meta=meta(), indices=npy_header("(100000, 1000000)")),
    "07 claims a billion and holds zeros": archive(
        meta=meta(), indices=npy_header("(1000000000,)") + bytes(1 << 22)
    ),
    "08 negative shape": archive(meta=meta(), indices=npy_header("(-1, 5)")),
    "09 code in the header": archive(meta=meta(), indices=npy_header("__import__('os')")),
    "10 too long": archive(meta=meta(), indices=npy(GRID) + b"x"),
    "11 too short": archive(meta=meta(), indices=npy(GRID)[:-1]),
    "12 floats": archive(meta=meta(), indices=npy(GRID.astype(float))),
    "13 index out of range": archive(meta=meta(), indices=npy(GRID + np.uint16(512))),
    "14 negative index": archive(meta=meta(), indices=npy(-GRID.astype(np.int64))),
    "15 foreign member": archive(meta=meta(), indices=npy(GRID), evil=npy(GRID)),
    "16 meta is no JSON": archive(meta=npy(np.array("{")), indices=npy(GRID)),
    "17 meta is a list": archive(meta=npy(np.array("[]")), indices=npy(GRID)),
    "18 meta is deep": archive(meta=npy(np.array("[" * 9000)), indices=npy(GRID)),
    "19 future format": archive(meta=meta(format=2), indices=npy(GRID)),
    "20 sizes are strings": archive(meta=meta(size=["48", "66"]), indices=npy(GRID)),
    "21 size is vast": archive(meta=meta(size=[10**9, 10**9]), indices=npy(GRID)),
    "32 alpha of 900 megapixels": archive(
        meta=meta(size=[30000, 30000], alpha=True),
        indices=npy(GRID),
        alpha=npy_header("(30000, 30000)", "|u1") + bytes(40 << 20),
    ),
    "33 more indices than pixels": archive(meta=meta(), indices=npy_header("(48, 67)")),
    "22 size is zero": archive(meta=meta(size=[0, 66]), indices=npy(GRID)),
    "23 axes unknown": archive(meta=meta(axes="xyz"), indices=npy(GRID)),
    "24 id too short": archive(meta=meta(codebook_id="61"), indices=npy(GRID)),
    "25 name too long": archive(meta=meta(model="m" * 65), indices=npy(GRID)),
    "26 alpha of another size": archive(
        meta=meta(alpha=True), indices=npy(GRID), alpha=npy(ALPHA[1:])
    ),
    "31 alpha missing": archive(meta=meta(alpha=True), indices=npy(GRID)),
    "27 one dimension": archive(meta=meta(), indices=npy(GRID.ravel())),
    "28 codebook of one": archive(meta=meta(codebook_sizes=[1]), indices=npy(GRID * 0)),
    "29 zip bomb": archive(meta=npy_header("()", "<U10000000") + bytes(40 << 20)),
    "30 text where numbers belong": archive(meta=meta(), indices=npy(np.array("x"))),
}


@pytest.mark.parametrize("attack", ATTACKS_NPZ)
def test_attacks_on_npz(attack: str) -> None:
    tracemalloc.start()
    try:
        assert attempt(ATTACKS_NPZ[attack]) is None
        assert tracemalloc.get_traced_memory()[1] < 96 << 20
    finally:
        tracemalloc.stop()


def test_the_same_member_twice() -> None:
    buffer = io.BytesIO(PLAIN.to_bytes(".npz"))
    with pytest.warns(UserWarning), zipfile.ZipFile(buffer, "a") as made:
        made.writestr("indices.npy", npy(GRID))
    assert attempt(buffer.getvalue()) is None


def test_well_made_archives_of_others_are_read() -> None:
    made = attempt(archive(meta=meta(), indices=npy(GRID.astype(np.int64))))
    assert made is not None and np.array_equal(made.grids[0], GRID)
