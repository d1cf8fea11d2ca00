"""Packing, tiles, configs, metrics and other small parts."""

import math

import numpy as np
import pytest

from vqcodec.codec.tiles import spans
from vqcodec.coding.bits import pack, packed_bytes, unpack, width_of
from vqcodec.config import load_preset, override, parse
from vqcodec.errors import UsageError
from vqcodec.metrics.basic import perplexity, psnr
from vqcodec.models.encoders.conv2d import Config


@pytest.mark.parametrize("size", [2, 3, 4, 5, 512, 513, 65536])
def test_width_is_the_fewest_bits_that_hold_every_index(size: int) -> None:
    assert 2 ** (width_of(size) - 1) < size <= 2 ** width_of(size)


def test_packing_is_plain_binary_highest_bit_first() -> None:
    values = np.array([0b000000001, 0b111111111, 0b101010101], np.uint16)
    assert pack(values, 9) == int("000000001111111111101010101" + "00000", 2).to_bytes(4, "big")


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000, (1 << 20) + 3])
@pytest.mark.parametrize("width", [1, 9, 16])
def test_unpacking_reverses_packing(count: int, width: int) -> None:
    values = np.random.default_rng(count).integers(0, 1 << width, count).astype(np.uint16)
    data = pack(values, width)
    assert len(data) == packed_bytes(count, width)
    np.testing.assert_array_equal(unpack(data, count, width), values)


@pytest.mark.parametrize("total", [1, 9, 10, 11, 12, 37, 100])
@pytest.mark.parametrize("halo", [0, 1, 4])
def test_spans_cover_once_and_keep_only_what_the_reach_allows(total: int, halo: int) -> None:
    window = 10
    found = spans(total, window, halo)
    assert [i for s in found for i in range(s.keep_start, s.keep_stop)] == list(range(total))
    assert len({span.stop - span.start for span in found}) == 1
    for span in found:
        assert span.stop - span.start <= window
        assert span.start == 0 or span.keep_start - span.start >= halo
        assert span.stop == total or span.stop - span.keep_stop >= halo


def test_spans_refuse_a_window_that_the_reach_eats_up() -> None:
    with pytest.raises(ValueError):
        spans(100, 8, 4)


def test_psnr_against_its_definition() -> None:
    a = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    b = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    mse = np.mean((a.astype(float) - b.astype(float)) ** 2)
    assert psnr(a, b) == pytest.approx(10 * math.log10(255**2 / mse), rel=1e-6)
    assert psnr(a, a) == math.inf


def test_perplexity_counts_codes_in_effect() -> None:
    assert perplexity(np.array([5, 5, 5, 5, 0])) == pytest.approx(4)
    assert perplexity(np.array([0, 7])) == pytest.approx(1)


def test_override_reads_toml_values_and_leaves_the_original() -> None:
    tree = {"a": {"n": 1, "s": "x", "l": [1]}, "top": 2.0}
    changed = override(tree, ["a.n=5", "a.s=hello", "a.l=[1, 2]", "top=1e-3"])
    assert changed == {"a": {"n": 5, "s": "hello", "l": [1, 2]}, "top": 0.001}
    assert tree["a"] == {"n": 1, "s": "x", "l": [1]}


@pytest.mark.parametrize("assignment", ["a", "=1", "a.b.c=1", "b=1", "a.n.x=1", ""])
def test_malformed_overrides_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError):
        override({"a": {"n": 1}}, [assignment])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "no setting 'extra'"),
        ({"dim": "4"}, "must be of type int"),
        ({"dim": True}, "must be of type int"),
        ({"widths": 4}, "must be a list"),
        ({"widths": [4, "8"]}, "must be of type int"),
        ({"dim": -1}, "must be from 1"),
        ({"activation": "gelu"}, "activation must be one of"),
    ],
)
def test_parse_refuses_what_does_not_fit(change: dict[str, object], message: str) -> None:
    table = {"widths": [4, 8], "blocks": [0, 1], "dim": 4, **change}
    with pytest.raises(UsageError, match=message):
        parse(Config, table, "encoder")


def test_unknown_presets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="image-f4"):
        load_preset("image-f5")
