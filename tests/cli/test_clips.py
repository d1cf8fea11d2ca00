"""Videos on the command line."""

import csv
import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.clips import animation, clip, frames, read
from tests.helpers import Run
from vqcodec import Codes
from vqcodec.modality import AUDIO, VIDEO

TIMES = [0, 20, 50, 60, 110, 130, 190, 200]


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    path.write_bytes(clip(frames(), TIMES, Fraction(1, 1000)))
    return path


@pytest.mark.parametrize("suffix", ["npz", "vqc"])
def test_a_clip_there_and_back(run: Run, moving: Path, tmp_path: Path, suffix: str) -> None:
    found = run("encode", moving, "--model", "tiny", "--format", suffix, "--json", "--verify")
    facts = json.loads(found.stdout)
    assert (facts["frames"], facts["width"], facts["height"]) == (8, 32, 24)
    assert facts["indices"] == 8 * 6 * 8 and 0 < facts["psnr"] < 60
    assert run("decode", f"clip.{suffix}").returncode == 0
    pixels, times = read((tmp_path / "clip.decoded.mp4").read_bytes())
    assert pixels.shape == (8, 24, 32, 3) and times == [Fraction(t, 1000) for t in TIMES]
    text = run("info", f"clip.{suffix}").stdout.decode()
    assert "modality           video" in text and "8×24×32" in text


def test_a_folder_of_pictures(run: Run, moving: Path, tmp_path: Path) -> None:
    run("encode", moving, "--model", "tiny")
    assert run("decode", "clip.npz", "--format", "png").returncode == 0
    folder = tmp_path / "clip.decoded"
    lines = (folder / "times.csv").read_text().splitlines()
    assert len(lines) == 9 and lines[2].startswith("000002.png,0.02,0.03")
    assert len(list(folder.glob("*.png"))) == 8
    again = run("decode", "clip.npz", "-o", "clip.decoded.png")
    assert again.returncode == 1 and b"exists" in again.stderr


def test_animations_are_pictures_unless_video_is_asked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(animation(frames(4), [100, 50, 70, 30], "GIF"))
    assert b"the first of 4 frames" in run("encode", "a.gif", "--model", "tiny").stdout
    assert b"4 frames" in run("encode", "a.gif", "--model", "tiny", "--video", "--force").stdout
    assert run("decode", "a.npz", "-o", "b.gif").returncode == 0
    from PIL import Image

    with Image.open(tmp_path / "b.gif") as picture:
        told = []
        for number in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(number)
            told.append(picture.info["duration"])
    assert told == [100, 50, 70, 30]


def test_from_pipe_to_pipe(run: Run, moving: Path, tmp_path: Path) -> None:
    coded = run("encode", "-", "--model", "tiny", stdin=moving.read_bytes())
    assert coded.returncode == 0 and coded.stdout.startswith(b"VQC\3")
    decoded = run("decode", "-", "--format", "mp4", stdin=coded.stdout)
    pixels, times = read(decoded.stdout)
    assert len(pixels) == 8 and times == [Fraction(t, 1000) for t in TIMES]
    gif = run("decode", "-", "-o", "x.gif", stdin=coded.stdout)
    assert gif.returncode == 0 and (tmp_path / "x.gif").stat().st_size


def test_sound_is_coded_where_it_is_asked_for(
    run: Run, tmp_path: Path, spoken_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqcodec.cli.handlers.video import encode

    (tmp_path / "talk.mkv").write_bytes(clip(frames(25), sound=1))
    assert b"its sound is left out" in run("encode", "talk.mkv", "--model", "tiny").stdout
    spoken = dataclasses.replace(AUDIO, weights="spoken")
    monkeypatch.setattr(encode, "AUDIO", spoken)
    made = run("encode", "talk.mkv", "--model", "tiny", "--sound", "--force")
    assert b"its sound is in talk.sound.npz" in made.stdout
    assert b"with the sound of talk.sound.npz" in run("decode", "talk.npz").stdout
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "talk.decoded.mp4")) as container:
        assert [s.type for s in container.streams] == ["video", "audio"]
        samples = sum(f.samples for f in container.decode(audio=0))
    assert abs(samples - 16_000) <= 2048


def test_options_of_other_kinds_are_refused(run: Run, moving: Path) -> None:
    found = run("encode", moving, "--model", "tiny", "--effort", "5")
    assert found.returncode == 2 and b"--effort is for pictures" in found.stderr
    found = run("encode", moving, "--model", "tiny", "--quality", "50")
    assert found.returncode == 2 and b"'tiny' has no qualities of video" in found.stderr
    found = run("encode", moving, "--model", "spoken")
    assert found.returncode == 1 and b"codes audio, not videos" in found.stderr


def test_a_rate_goes_to_the_weights_made_for_all(run: Run, moving: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in ("20", "80"):
        assert run("encode", moving, "--quality", quality, "-o", f"{quality}.vqc").returncode == 0
        codes = Codes.load(tmp_path / f"{quality}.vqc")
        assert codes.model == VIDEO.rated
        sizes.append((tmp_path / f"{quality}.vqc").stat().st_size)
    assert sizes[0] < sizes[1]


def test_nothing_is_left_half_written(run: Run, moving: Path, tmp_path: Path) -> None:
    data = clip(frames(60, 48, 64), codec="mpeg4", pix_fmt="yuv420p")
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    before = set(tmp_path.iterdir())
    found = run("encode", "cut.mkv", "--model", "tiny", "-o", "cut.vqc")
    left = set(tmp_path.iterdir()) - before
    assert (found.returncode, len(left)) in ((0, 1), (1, 0))
    run("encode", moving, "--model", "tiny", "-o", "whole.vqc")
    whole = (tmp_path / "whole.vqc").read_bytes()
    (tmp_path / "part.vqc").write_bytes(whole[:-20])
    for name in ("part.mp4", "part.gif", "part.png"):
        found = run("decode", "part.vqc", "-o", name)
        assert found.returncode == 1 and b"part.vqc: truncated" in found.stderr
    assert not list(tmp_path.glob("part.[mg]*")) and not list(tmp_path.glob("*part*/"))
    assert np.frombuffer(whole, np.uint8).size


@pytest.mark.parametrize("model", ["framed", "moving"])
def test_what_is_whole_of_a_cut_file_is_decoded(
    run: Run, tmp_path: Path, model: str, framed_weights: Path, moving_weights: Path
) -> None:
    (tmp_path / "clip.gif").write_bytes(animation(frames(34), [50] * 34, "GIF"))
    assert run("encode", "clip.gif", "--video", "--model", model, "-o", "x.vqc").returncode == 0
    cut = (tmp_path / "x.vqc").read_bytes()[:-20]
    (tmp_path / "cut.vqc").write_bytes(cut)
    refused = run("decode", "cut.vqc", "-o", "cut.gif")
    assert refused.returncode == 1 and not (tmp_path / "cut.gif").exists()
    assert b"first 32 frames are whole (1.60 s), which decode --partial goes by" in refused.stderr
    run("decode", "x.vqc", "-o", "whole.gif")
    for source, stdin in (("cut.vqc", b""), ("-", cut)):
        found = run("decode", source, "-o", "cut.gif", "--partial", "--force", stdin=stdin)
        assert found.returncode == 0 and b"32 frames of" in found.stdout
        assert b"cut short, decoded its first 32 frames\n" in found.stderr
        whole, part = ((tmp_path / name).read_bytes() for name in ("whole.gif", "cut.gif"))
        assert len(part) < len(whole) and whole.startswith(part[:-1])
    again = run("decode", "x.vqc", "-o", "whole.gif", "--partial", "--force")
    assert again.returncode == 0 and not again.stderr


def test_a_clip_is_drawn(run: Run, moving: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = run("inspect", moving, "--model", "tiny")
    assert b"8 frames of 32\xc3\x9724 pixels" in drawn.stdout and b"PSNR" in drawn.stdout
    run("encode", moving, "--model", "tiny", "-o", "clip.vqc")
    found = run("inspect", "clip.vqc", "-o", "codes.svg")
    text = (tmp_path / "codes.svg").read_text()
    assert found.returncode == 0 and "What changes" in text and "Codes over time" in text
    assert (tmp_path / "clip.inspect.png").read_bytes().startswith(b"\x89PNG")
    printed = run("inspect", "clip.vqc", "--codes", "csv").stdout.decode().split()
    assert len(printed) == 8 * 6 and all(line.count(",") == 7 for line in printed)


def test_clips_are_compared(run: Run, moving: Path, tmp_path: Path) -> None:
    same = json.loads(run("compare", moving, moving, "--json").stdout)
    assert same["identical"] and same["max_seconds"] == 0 and same["metrics"]["psnr-rgb"] is None
    other = frames()
    other[3, :2] ^= 1
    (tmp_path / "other.mkv").write_bytes(
        clip(other, [t + 5 * (t > 0) for t in TIMES], Fraction(1, 1000))
    )
    found = json.loads(run("compare", moving, "other.mkv", "--json").stdout)
    assert found["max_difference"] == 1 and found["max_seconds"] == pytest.approx(0.005)
    assert b"largest difference 1 of 255" in run("compare", moving, "other.mkv").stdout
    (tmp_path / "short.mkv").write_bytes(clip(frames(3)))
    found = run("compare", moving, "short.mkv")
    assert found.returncode == 1 and b"one size and length" in found.stderr


def test_a_report_beside_other_codecs(run: Run, moving: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    if "libx264" not in av.codec.codecs_available:
        pytest.skip("PyAV was built without libx264")
    (tmp_path / "large.mkv").write_bytes(clip(frames(12, 64, 96)))
    made = run("evaluate", moving, "large.mkv", "-o", "r", "--model", "tiny", "--against", "h264")
    assert made.returncode == 0, made.stderr
    tree = json.loads((tmp_path / "r" / "results.json").read_text())
    more = tree["evaluation"]
    assert more["data"]["videos"] == 2 and more["frames"] == 20
    assert set(tree["results"]) >= {"bytes", "bpp", "psnr-rgb"}
    with (tmp_path / "r" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    ours = {r["video"]: int(r["bytes"]) for r in rows if r["codec"] == "vqcodec"}
    theirs = {r["video"]: int(r["bytes"]) for r in rows if r["codec"] == "h264"}
    assert theirs and all(theirs[name] <= ours[name] for name in theirs)
    assert "same place in the frame before" in more["codes"]["bits_per_index"]
    assert b"H.264" in made.stdout and (tmp_path / "r" / "report.html").is_file()


def test_speed_of_a_clip(run: Run, moving: Path) -> None:
    found = run("benchmark", moving, "--model", "tiny", "--rounds", "1", "--json", "--threads", "1")
    (size,) = json.loads(found.stdout)["sizes"]
    assert (size["width"], size["height"], size["frames"]) == (32, 24, 8)
    assert size["encode"] > 0 and size["decode"] > 0


def test_flicker_is_what_changes_where_nothing_should() -> None:
    from vqcodec.metrics.video import flicker, frame_psnr

    original = np.zeros((3, 4, 4, 3), np.uint8)
    original[:, :, 2:] = np.array([0, 50, 100], np.uint8)[:, None, None, None]  # this half moves
    other = original.copy()
    other[1, :, :2] += 6
    assert flicker(original, other) == 6 and flicker(original, original) == 0
    assert flicker(original[:, :, 2:], other[:, :, 2:]) is None
    mse = 36 / 2
    one = 10 * np.log10(255**2 / mse)
    assert frame_psnr(original, other) == pytest.approx((200 + one) / 3)


def test_of_a_video_whose_prior_is_missing_the_length_is_unknown(
    run: Run, tmp_path: Path, moving_weights: Path
) -> None:
    assert moving_weights.name == "moving"
    (tmp_path / "clip.gif").write_bytes(animation(frames(4), [50] * 4, "GIF"))
    assert run("encode", "clip.gif", "--video", "--model", "moving", "-o", "x.vqc").returncode == 0
    data = (tmp_path / "x.vqc").read_bytes()
    (tmp_path / "y.vqc").write_bytes(data.replace(b"moving", b"movinh"))
    facts = json.loads(run("info", "y.vqc", "--json").stdout)
    assert facts["size"] == [None, 24, 32] and facts["indices"] is None
    text = run("info", "y.vqc").stdout.decode()
    assert "?×24×32" in text and "not installed" in text
    refused = run("decode", "x.vqc", "--levels", "1", "-o", "z.gif")
    assert refused.returncode == 1 and b"--levels does not go with videos" in refused.stderr
    assert not (tmp_path / "z.gif").exists()
