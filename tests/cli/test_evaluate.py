"""`vqcodec evaluate` and `vqcodec compare`, as a user runs them."""

import csv
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.test_commands import fails
from tests.helpers import Run, picture
from vqcodec import Codec, Image
from vqcodec.cli import console
from vqcodec.evaluate.image.study import ImageStudy
from vqcodec.evaluate.journal import PICTURES
from vqcodec.metrics.basic import perplexity, psnr

EVALUATE = ("evaluate", "--model", "tiny", "--against", "jpeg,webp")


@pytest.fixture(scope="module")
def measured(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and their `report`.

    Three pictures, one of them in a tar, one large enough for MS-SSIM.
    """
    root = tmp_path_factory.mktemp("evaluated")
    folder = root / "photos"
    (folder / "deep").mkdir(parents=True)
    Image(picture(40, 52, seed=1)).save(folder / "deep" / "a.png")
    Image(picture(164, 170, seed=2)).save(folder / "b.png")
    Image(picture(33, 30, seed=3)).save(root / "c.png")
    with tarfile.open(folder / "set.tar", "w") as tar:
        tar.add(root / "c.png", "c.png")
    (folder / "notes.txt").write_text("no picture")
    model, others = str(tiny_weights), ["jpeg", "webp"]
    ImageStudy([folder], root / "report", model=model, against=others).run()
    return root


@pytest.fixture
def photos(measured: Path, tmp_path: Path) -> Path:
    """A copy of the pictures, with their report beside it."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    return tmp_path / "photos"


def read(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return tree


def test_a_report_says_what_encode_and_decode_do(photos: Path, run: Run) -> None:
    folder = photos.parent / "report"
    tree = read(folder)
    codec = Codec.load("tiny")
    quality, size, rate, maps = [], [], [], []
    for path in (photos / "deep/a.png", photos / "b.png", photos.parent / "c.png"):
        assert run("encode", path, "--model", "tiny", "-o", "x.vqc", "--force").returncode == 0
        image = Image.open(path)
        codes = codec.encode(image)
        quality.append(psnr(image.pixels, codec.decode(codes).pixels))
        size.append((photos.parent / "x.vqc").stat().st_size)
        rate.append(8 * size[-1] / (image.size[0] * image.size[1]))
        maps.append(codes.grids[0].ravel())
    results, more = tree["results"], tree["evaluation"]
    assert results["psnr-rgb"][-1] == pytest.approx(np.mean(quality), abs=1e-5)
    assert results["bytes"][-1] == pytest.approx(np.mean(size))
    assert results["bpp"][-1] == pytest.approx(np.mean(rate), abs=1e-6)
    assert results["bpp"] == sorted(results["bpp"]) and len(results["bpp"]) == 3
    low, high = more["intervals"]["psnr-rgb"][-1]
    assert min(quality) - 1e-6 <= low <= np.mean(quality) <= high <= max(quality) + 1e-6
    counts = np.bincount(np.concatenate(maps), minlength=32)
    assert more["codes"]["perplexity"] == pytest.approx(perplexity(counts), abs=1e-3)
    assert more["codes"]["usage"] == pytest.approx((counts > 0).mean())
    assert more["codes"]["indices"] == sum(m.size for m in maps)
    bits = more["codes"]["bits_per_index"]
    assert bits.keys() == {"uniform", "order 0"}  # these weights have no priors
    assert bits["uniform"] == 5
    assert bits["order 0"] == pytest.approx(np.log2(perplexity(counts)), abs=1e-3)
    assert set(more["anchors"]) == {"jpeg", "webp"}
    assert sorted(p.name for p in folder.iterdir()) == [
        "anchors",
        "pictures.jsonl",
        "rd.png",
        "rd.svg",
        "report.html",
        "results.csv",
        "results.json",
        "settings.json",
    ]
    anchor = json.loads((folder / "anchors" / "webp.json").read_text())
    assert anchor.keys() == {"name", "description", "results"}
    (note,) = more["notes"]
    assert note.startswith("MS-SSIM is not defined for 2 of 3 pictures")


def test_an_effort_is_that_of_encode(photos: Path, run: Run) -> None:
    done = run("evaluate", "--against", "", "photos/deep", "--effort", "2", "-o", "searched")
    assert done.returncode == 0
    codec, image = Codec.load("image-f4"), Image.open(photos / "deep/a.png")
    plain, best = (
        psnr(image.pixels, codec.decode(codec.encode(image, effort=effort)).pixels)
        for effort in (0, 2)
    )
    found = read(photos.parent / "searched")["results"]["psnr-rgb"][-1]
    assert found == pytest.approx(best, abs=1e-5) and best > plain + 0.01


def test_the_others_get_no_more_bytes(measured: Path) -> None:
    text = (measured / "report" / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    ours = {(r["picture"], r["point"]): int(r["bytes"]) for r in rows if r["codec"] == "vqcodec"}
    assert len(ours) == 9
    assert {r["picture"] for r in rows} == {"deep/a.png", "b.png", "c.png"}
    others = [r for r in rows if r["codec"] != "vqcodec"]
    assert others and all(int(r["bytes"]) <= ours[r["picture"], r["point"]] for r in others)


def test_a_repeated_command_goes_on(photos: Path, run: Run) -> None:
    folder = photos.parent / "report"
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    lines = before[PICTURES].splitlines(keepends=True)
    # as if interrupted in the middle of a line; the first record is told from a new one by a mark
    marked = lines[0].replace(b'"input_bytes":', b'"input_bytes": ')
    (folder / PICTURES).write_bytes(marked + lines[1][:50])
    for name in ("results.json", "report.html", "rd.png"):
        (folder / name).unlink()
    again = run(*EVALUATE, "photos", "-o", "report", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == read(folder)
    assert b"MS-SSIM is not defined for 2 of 3" in again.stderr
    after = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert after.pop(PICTURES) == marked + b"".join(lines[1:])
    before.pop(PICTURES)
    assert after == before
    fails(run(*EVALUATE[:-1], "jpeg", "photos", "-o", "report"), 1, "another set of codecs")
    (photos / "b.png").unlink()
    fails(run(*EVALUATE, "photos", "-o", "report"), 1, "b.png, which is not in the data")
    assert (folder / "anchors" / "webp.json").is_file()
    done = run(*EVALUATE[:-1], "jpeg", "photos/deep", "-o", "report", "--force")
    assert done.returncode == 0 and b", 1 picture;" in done.stdout
    assert not (folder / "anchors" / "webp.json").exists()


def test_unreadable_pictures_are_left_out_and_counted(photos: Path, run: Run) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    result = run(*EVALUATE, "photos", "-o", "report")
    assert result.returncode == 1
    error = result.stderr.decode()
    assert "vqcodec: error: broken.png: not a picture" in error
    assert "1 of 4 inputs failed" in error
    assert read(photos.parent / "report")["evaluation"]["data"]["pictures"] == 3
    Image(picture(9, 5)).save(photos / "broken.png", force=True)  # mended: it is tried again
    assert run(*EVALUATE, "photos", "-o", "report").returncode == 0
    assert read(photos.parent / "report")["evaluation"]["data"]["pictures"] == 4


def test_what_is_not_installed_is_left_out_with_a_note(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("matplotlib", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    result = run(*EVALUATE[:-1], "jpeg,webp,jxl", "photos", "-o", "report")
    assert result.returncode == 0, result.stderr
    notes = read(photos.parent / "report")["evaluation"]["notes"]
    for word in ("JPEG XL is left out", "plots are left out"):
        assert any(word in note and "vqcodec[evaluate]" in note for note in notes)
        assert word in result.stderr.decode()
    assert not list((photos.parent / "report").glob("rd.*"))


def test_bad_input_of_evaluate(photos: Path, run: Run) -> None:
    root = photos.parent
    for name in ("empty", "bad"):
        (root / name).mkdir()
    (root / "bad" / "x.png").write_bytes(b"no picture")
    fails(run(*EVALUATE, "absent", "-o", "r"), 1, "absent: no such file")
    fails(run(*EVALUATE, "empty", "-o", "r"), 1, "empty: no pictures found")
    fails(run(*EVALUATE, "photos", "--effort", "10", "-o", "r"), 2, "--effort is 10")
    fails(run(*EVALUATE, "photos/notes.txt", "-o", "r"), 1, "no pictures found")
    fails(run(*EVALUATE[:3], "--against", "gif", "photos", "-o", "r"), 2, "no codec 'gif'")
    assert not (root / "r").exists()
    fails(run(*EVALUATE, "photos", "-o", "photos"), 1, "photos: holds something else")
    fails(run(*EVALUATE, "photos", "-o", "photos/b.png"), 1, "is a file")
    fails(run(*EVALUATE, "bad", "-o", "r"), 1, "none of the 1 pictures can be read")


def test_transparency_and_equal_names(tmp_path: Path, run: Run) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        clear = Image(picture(20, 24), np.zeros((20, 24), np.uint8))
        clear.save(tmp_path / name / "same.png")
    result = run(*EVALUATE, "x", "y", "-o", "report")
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "report" / "results.csv").read_text(encoding="utf-8")
    assert {r["picture"] for r in csv.DictReader(io.StringIO(text))} == {
        "x/same.png",
        "y/same.png",
    }


def test_compare_pictures(photos: Path, run: Run) -> None:
    original = Image.open(photos / "b.png")
    changed = original.pixels.copy()
    changed[10, 20, 1] ^= 128
    changed[90:120] //= 2
    Image(changed).save(photos / "changed.png")
    result = run("compare", "photos/b.png", "photos/changed.png", "--json")
    found = json.loads(result.stdout)
    assert found["metrics"]["psnr-rgb"] == pytest.approx(psnr(original.pixels, changed), abs=1e-5)
    difference = np.abs(changed.astype(int) - original.pixels)
    assert found["max_difference"] == difference.max() and not found["identical"]
    assert 0 < found["metrics"]["ms-ssim-rgb"] < 1
    assert b"PSNR" in run("compare", "photos/b.png", "photos/changed.png").stdout
    same = run("compare", "photos/b.png", "photos/b.png", "--json")
    assert json.loads(same.stdout)["identical"]
    small = run("compare", "photos/deep/a.png", "photos/deep/a.png")
    assert b"MS-SSIM is not defined for 52" in small.stderr and small.returncode == 0
    fails(run("compare", "photos/b.png", "photos/deep/a.png"), 1, "pictures of one size")
    fails(run("compare", "photos/b.png", "absent.png"), 1, "absent.png: no such file")
    fails(run("compare", "photos/b.png", "photos/notes.txt"), 1, "notes.txt: not a picture")


def test_compare_reports(photos: Path, run: Run) -> None:
    root = photos.parent
    (root / "report").rename(root / "a")
    shutil.copytree(root / "a", root / "b")
    journal = root / "b" / PICTURES
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for measured in line["measured"]:
            measured["values"]["psnr-rgb"] += 0.5
    journal.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    tree = read(root / "b")
    tree["results"]["bpp"] = [rate * 0.9 for rate in tree["results"]["bpp"]]
    (root / "b" / "results.json").write_text(json.dumps(tree))
    found = json.loads(run("compare", "a", "b", "--json").stdout)
    for differences in found["points"].values():
        assert differences["psnr-rgb"] == pytest.approx([0.5, 0.5, 0.5])
        assert differences["bytes"] == [0, 0, 0]
    assert found["bd"]["psnr-rgb"]["rate"] == pytest.approx(-10, abs=0.01)
    text = run("compare", "a/results.json", "b").stdout.decode()
    assert "BD-rate -10.00 %" in text and "+0.50 dB [+0.50, +0.50]" in text
    journal.unlink()
    alone = run("compare", "a", "b")
    assert alone.returncode == 0 and b"no intervals" in alone.stderr
    fails(run("compare", "a", "photos"), 1, "holds no results.json")
    fails(run("compare", "a", "photos/b.png"), 2, "two pictures, two videos, or two reports")
    arguments = (*EVALUATE[:3], "--against", "")
    assert run(*arguments, "photos/deep", "-o", "c").returncode == 0
    fails(run("compare", "a", "c"), 1, "different pictures (3 and 1)")


def test_results_that_others_published_can_be_compared(photos: Path, run: Run) -> None:
    root = photos.parent
    rates, qualities = [0.2, 0.4, 0.8], [27.0, 30.0, 33.0]
    for name, factor in (("one", 1.0), ("two", 0.8)):
        results = {"psnr-rgb": qualities, "bpp": [factor * r for r in rates]}
        (root / f"{name}.json").write_text(json.dumps({"name": name, "results": results}))
    found = run("compare", "one.json", "two.json")
    assert b"BD-rate -20.00 %" in found.stdout
    assert b"does not say what it was measured on" in found.stderr
    for damage in (
        '{"results": {"bpp": [1], "psnr-rgb": []}}',
        '{"results": {"bpp": [1], "other": [2]}}',
        '{"results": 3}',
        "[]",
        "{oops",
    ):
        (root / "two.json").write_text(damage)
        fails(run("compare", "one.json", "two.json"), 1, "two.json: ")


def test_off_a_terminal_lines_tell_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 110, 140, 145, 300, 500])
    monkeypatch.setattr("vqcodec.cli.console.time.monotonic", lambda: next(clock))
    with console.progress_bar("evaluating", lines=True) as bar:
        for done in (0.2, 0.25, 0.3, 0.31, 0.6, 1.0):  # a fifth was done before, in no time
            bar(done)
    assert capsys.readouterr().err.splitlines() == [
        "evaluating: 30% done, about 5 minutes left",
        "evaluating: 60% done, about 3 minutes left",
    ]
