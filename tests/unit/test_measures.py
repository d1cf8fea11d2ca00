"""Measures, other codecs, intervals, deltas and the journal, against oracles."""

import json
import math
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from tests.helpers import picture
from vqcodec import Image
from vqcodec.errors import FormatError, MediaError, OutputError, UsageError
from vqcodec.evaluate.bjontegaard import bd_quality, bd_rate, pchip
from vqcodec.evaluate.image.baselines import (
    BASELINES,
    LAST_SCALES,
    SCALES,
    _Search,
    find_baselines,
)
from vqcodec.evaluate.intervals import interval, resampled_means
from vqcodec.evaluate.journal import OURS, PICTURES, Journal, Measured, Record
from vqcodec.evaluate.summary import differences, summarise_codec, summarise_codes
from vqcodec.evaluate.table import Table, sum_bits
from vqcodec.metrics.basic import psnr
from vqcodec.metrics.image import BEST_PSNR, METRICS, MS_SSIM, PSNR, SSIMULACRA2, TOOL

Curve = list[tuple[float, float]]


def bd(a: Curve, b: Curve) -> float | None:
    return bd_rate(*map(list, zip(*a, strict=True)), *map(list, zip(*b, strict=True)))


@pytest.mark.parametrize(
    ("a", "b", "percent"),
    [  # two rows of the spreadsheet of JCT-VC's common test conditions, with its results
        (
            [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247)]
            + [(18883.6928, 34.2911)],
            [(108061.2784, 43.6768), (61299.9936, 40.4232), (33928.7472, 37.2761)]
            + [(18910.912, 34.3147)],
            -0.465215420752807,
        ),
        (
            [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977)]
            + [(1017.6184, 32.0603)],
            [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194)]
            + [(1017.0984, 32.0822)],
            -1.8779823450567612,
        ),
    ],
)
def test_bd_rate_is_that_of_the_published_examples(a: Curve, b: Curve, percent: float) -> None:
    assert bd(a, b) == pytest.approx(percent, abs=1e-9)


def test_deltas_of_shifted_curves_are_the_shifts() -> None:
    rates, qualities = [0.1, 0.2, 0.5, 0.9], [24.0, 27.0, 31.0, 33.0]
    halved, better = [r / 2 for r in rates], [q + 1.5 for q in qualities]
    assert bd_rate(rates, qualities, halved, qualities) == pytest.approx(-50)
    assert bd_quality(rates, qualities, rates, better) == pytest.approx(1.5)
    assert bd_rate(rates[:2], qualities[:2], halved[:2], qualities[:2]) == pytest.approx(-50)
    shuffled = [2, 0, 3, 1]
    assert bd_rate(
        [rates[i] for i in shuffled], [qualities[i] for i in shuffled], halved, qualities
    ) == pytest.approx(-50)


def test_curves_that_hardly_overlap_are_not_comparable() -> None:
    a: Curve = [(0.1, 24.0), (0.2, 26.0)]
    assert bd(a, [(0.1, 26.0), (0.2, 28.0)]) is None
    assert bd(a, [(0.1, 25.8), (0.2, 28.0)]) is None
    assert bd(a, [(0.1, 25.0), (0.2, 28.0)]) is not None
    assert bd(a, [(0.1, 25.0)]) is None
    assert bd(a, [(0.1, 25.0), (0.2, 25.0)]) is None  # one quality at two rates


@pytest.mark.parametrize("number", [2, 3, 4, 9])
def test_pchip_is_scipys(number: int) -> None:
    rng = np.random.default_rng(number)
    for _ in range(20):
        x, y = np.cumsum(rng.uniform(0.1, 2, number)), rng.normal(size=number)
        at = np.linspace(x[0], x[-1], 50)
        np.testing.assert_allclose(pchip(x, y, at), PchipInterpolator(x, y)(at), atol=1e-12)


def test_intervals_are_those_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(30, 2, (400, 1))
    low, high = interval(resampled_means(values)[:, 0])
    spread = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - spread, abs=0.03)
    assert high == pytest.approx(values.mean() + spread, abs=0.03)
    np.testing.assert_array_equal(resampled_means(values), resampled_means(values))


def test_differences_are_paired_and_over_what_both_have() -> None:
    rng = np.random.default_rng(2)
    theirs = rng.normal(30, 5, (50, 2))
    ours = theirs + 1  # always better by one: no doubt about it, however much pictures differ
    ours[3, 0] = np.nan
    theirs[:, 1] = np.nan
    assert differences(ours, theirs) == [pytest.approx([1, 1, 1]), None]


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_baselines_find_the_best_file_that_fits(name: str) -> None:
    (baseline,), notes = find_baselines([name])
    assert not notes
    image = Image(picture(44, 52, seed=3))
    limits = [700, 1400]
    qualities = range(baseline.qualities[0], baseline.qualities[1] + 1, 3)
    tried = []
    for scale in SCALES:
        small = image.resize((round(44 * scale), round(52 * scale)))
        for quality in qualities:
            size = len(baseline.write(small.to_pillow(), quality))
            tried.append((size, quality, scale))
    for limit, coded in zip(limits, baseline.encode(image, limits), strict=True):
        assert coded is not None and coded.bytes <= limit
        assert coded.image.size == (44, 52)
        back = baseline.decode(image, coded.setting)
        np.testing.assert_array_equal(back.pixels, coded.image.pixels)
        assert coded.psnr == psnr(image.pixels, back.pixels)
        for scale in SCALES:  # no worse than the highest of every third quality at any scale
            fitting = [(q, s) for size, q, s in tried if size <= limit and s == scale]
            if fitting:
                setting = type(coded.setting)(max(fitting)[0], scale)
                other = baseline.decode(image, setting)
                assert coded.psnr > psnr(image.pixels, other.pixels) - 0.3


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])  # whose files grow with the quality
def test_the_highest_quality_that_fits_is_found_in_a_few_files(name: str) -> None:
    (baseline,), _ = find_baselines([name])
    image = Image(picture(90, 120, seed=5))
    first, last = baseline.qualities
    sizes = {q: len(baseline.write(image.to_pillow(), q)) for q in range(first, last + 1)}
    for limit in (sizes[first] - 1, sizes[first], 900, 2000, sizes[last] + 1):
        search = _Search(baseline, image, 1.0)
        fitting = [q for q, size in sizes.items() if size <= limit]
        assert search.highest_quality(limit) == (max(fitting) if fitting else None)
        assert len(search.files) <= 8


def test_a_scale_that_cannot_be_better_is_not_tried() -> None:
    (baseline,), _ = find_baselines(["jpeg"])
    noise = Image(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    search = _Search(baseline, noise, 0.5)
    (known,) = baseline.encode(noise, [4000])
    assert known is not None and known.psnr > search.bound
    assert search.better(known, 4000) is known and not search.files


def test_few_bytes_are_met_by_smaller_scales_or_not_at_all() -> None:
    (baseline,), _ = find_baselines(["webp"])
    image = Image(picture(128, 128, seed=4))
    tight, hopeless = baseline.encode(image, [150, 10])
    assert tight is not None and tight.setting.scale in LAST_SCALES and tight.bytes <= 150
    assert hopeless is None


def test_pictures_beyond_a_format_do_not_fit() -> None:
    (baseline,), _ = find_baselines(["webp"])
    long = Image(np.zeros((1, 140_000, 3), np.uint8))  # WebP ends at 16,383, an eighth is more
    assert baseline.encode(long, [1 << 20]) == [None]


def test_unknown_codecs_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no codec 'gif'"):
        find_baselines(["jpeg", "gif"])


def test_quality_falls_with_noise() -> None:
    original = picture(176, 180, seed=5)
    noise = np.random.default_rng(5).normal(size=original.shape)
    previous = {PSNR.key: BEST_PSNR, MS_SSIM.key: 1.0, SSIMULACRA2.key: 100.0}
    for metric in METRICS:
        equal = metric.measure(original, original)
        assert equal == pytest.approx(previous[metric.key])
    for strength in (4, 16, 40):
        noisy = np.clip(original + strength * noise, 0, 255).astype(np.uint8)
        for metric in METRICS:
            value = metric.measure(original, noisy)
            assert value is not None and value < previous[metric.key]
            previous[metric.key] = value


def test_metrics_say_what_they_are_not_defined_for() -> None:
    small, tiny = picture(160, 200), picture(7, 200)
    assert MS_SSIM.measure(small, small) is None
    assert SSIMULACRA2.measure(small, small) is not None
    assert SSIMULACRA2.measure(tiny, tiny) is None
    assert PSNR.measure(tiny, tiny) == BEST_PSNR


def test_metrics_say_what_they_need() -> None:
    absent = replace(MS_SSIM, package="no-such-package")
    assert absent.source() == "" and "pytorch-msssim" in MS_SSIM.source()


@pytest.mark.skipif(os.name == "nt", reason="the program is a script")
def test_the_reference_program_is_used_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / TOOL
    code = (
        f"#!{sys.executable}\nimport sys\nfrom PIL import Image\n"
        "a, b = (Image.open(f).getpixel((1, 2))[0] for f in sys.argv[1:])\n"
        "print(a - b) if a > b else sys.exit('first line\\nno good')\n"
    )
    program.write_text(code)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "PATH" in SSIMULACRA2.source()
    bright, dark = np.full((9, 9, 3), 200, np.uint8), np.full((9, 9, 3), 77, np.uint8)
    assert SSIMULACRA2.measure(bright, dark) == 123
    with pytest.raises(MediaError, match="no good"):
        SSIMULACRA2.measure(dark, bright)


def record(name: str, values: dict[tuple[str, int], float]) -> Record:
    measured = tuple(
        Measured(codec, point, 100 * (point + 1), {"scale": 1.0}, {"psnr-rgb": value})
        for (codec, point), value in values.items()
    )
    return Record(
        name, f"id of {name}", 5, (10, 20), ({3: 7, 500: 1},), {"coding prior": (40.5,)}, measured
    )


def test_records_survive_json() -> None:
    one = record("<é>.png", {(OURS, 0): 25.5, ("jpeg", 0): 24.0})
    assert Record.from_json(json.loads(json.dumps(one.to_json()))) == one
    two = replace(one, bits={"coding prior": (40.5, 3.0), "sampling prior": (50.0,)})
    assert Record.from_json(json.loads(json.dumps(two.to_json()))) == two


def test_bits_are_told_by_map_where_all_records_do() -> None:
    """Journals of before they did hold a number for all maps together."""
    usage = [np.array([2, 2]), np.array([8, 0, 0, 0])]
    one = replace(record("x", {}), bits={"coding prior": (3.0, 5.0), "sampling prior": (9.0,)})
    older = Record.from_json({**one.to_json(), "bits": {"coding prior": 7.5}})
    bits = sum_bits([one, one])
    assert bits == {"coding prior": (6, 10), "sampling prior": (18,)}
    codes = summarise_codes(usage, bits)
    assert codes["bits_per_index"] == {
        "uniform": pytest.approx(20 / 12, abs=1e-4),
        "order 0": pytest.approx(4 / 12, abs=1e-4),
        "coding prior": pytest.approx(16 / 12, abs=1e-4),
        "sampling prior": 1.5,
    }
    coarse, fine = (own["bits_per_index"] for own in codes["maps"])
    assert coarse == {"uniform": 1, "order 0": 1, "coding prior": 1.5}
    assert fine == {"uniform": 2, "order 0": 0, "coding prior": 1.25}
    assert sum_bits([one, older]) == {"coding prior": (15.5,), "sampling prior": (9,)}
    mixed = summarise_codes(usage, sum_bits([one, older]))["maps"]
    assert all("coding prior" not in own["bits_per_index"] for own in mixed)


def test_curves_have_the_points_that_all_pictures_fit() -> None:
    records = [
        record("b", {(OURS, 0): 20, (OURS, 1): 30, ("jpeg", 1): 28}),
        record("a", {(OURS, 0): 22, (OURS, 1): 34, ("jpeg", 0): 21, ("jpeg", 1): 30}),
    ]
    table = Table.collect(iter(records), [OURS, "jpeg"], 2, ["psnr-rgb", "absent"])
    assert table.names == ["a", "b"]
    ours, jpeg = (summarise_codec(table, codec) for codec in (OURS, "jpeg"))
    assert ours["results"] == {"bpp": [4, 8], "bytes": [100, 200], "psnr-rgb": [21, 32]}
    assert jpeg["results"] == {"bpp": [8], "bytes": [200], "psnr-rgb": [29]}
    assert (jpeg["points"], jpeg["fits"]) == ([1], [1, 2])
    low, high = ours["intervals"]["psnr-rgb"][0]
    assert (low, high) == (20, 22)


def test_one_picture_in_a_hundred_does_not_end_a_curve() -> None:
    names = [f"{i:03}" for i in range(100)]
    for missing, points in ((1, [0]), (2, [])):
        records = [record(n, {("jpeg", 0): 30} if int(n) >= missing else {}) for n in names]
        summary = summarise_codec(Table.collect(records, ["jpeg"], 1, ["psnr-rgb"]), "jpeg")
        assert (summary["points"], summary["fits"]) == (points, [100 - missing])
        assert bool(summary["results"]) == bool(points)


def test_a_torn_line_is_dropped_and_others_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "r", PICTURES)
    journal.begin({"model": "x"}, force=False)
    ones = [record(str(i), {(OURS, 0): i}) for i in range(3)]
    for one in ones:
        journal.append(one)
    path = tmp_path / "r" / PICTURES
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    journal.begin({"model": "x"}, force=False)
    assert list(journal.records()) == ones[:2]
    journal.append(ones[2])
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"name":"1"', b'"name:"1"'))
    with pytest.raises(FormatError, match="line 2 is damaged"):
        list(journal.records())
    with pytest.raises(OutputError, match="another model"):
        journal.begin({"model": "y"}, force=False)
    journal.begin({"model": "y"}, force=True)
    assert list(journal.records()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(OutputError, match="something else"):
            Journal(tmp_path, PICTURES).begin({}, force=force)
    with pytest.raises(OutputError, match="is a file"):
        Journal(tmp_path / "mine.txt", PICTURES).begin({}, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
