"""Files that once went wrong, and what is right for each."""

import io
from pathlib import Path

import numpy as np
import pytest

from vqcodec.media.audio import Audio
from vqcodec.media.image import Image

CASES = Path(__file__).parents[1] / "cases"
# 1.5 s or 3 s at 44.1 kHz, twice where two were joined
SOUNDS = {
    "mp3_vbr_q9.mp3": 132_300,
    "mp3_cbr32.mp3": 132_300,
    "mp3_two_joined.mp3": 2 * 132_300,
    "ogg_chained.ogg": 2 * 66_150,
    "flac_unknown_length.flac": 132_300,
}
# height, width, mean, and a word of the note
PICTURES = {
    "t_L_o6.tif": (96, 64, 109.4, None),
    "t_RGBA_o6.tif": (96, 64, 102.4, None),
    "t_g16_miniswhite.tif": (64, 96, 109.4, None),
    "t_f32_over.tif": (64, 96, 111.6, "above 1"),
    "t_f32_neg.tif": (64, 96, 109.1, "above 1"),
    "t_f32_65535.tif": (64, 96, 109.4, "65,535"),
    "t_u32.tif": (64, 96, 109.4, "4,294,967,295"),
    "pfm_hdr.pfm": (64, 96, 109.4, "2 was taken"),
    "png_cicp_pq.png": (64, 96, 102.4, "BT.2020 with PQ"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_are_whole(name: str) -> None:
    audio = Audio.open(CASES / name)
    assert audio.size == (1, SOUNDS[name]) and audio.sample_rate == 44_100
    joined = "joined" in name or "chained" in name
    assert len(audio.notes) == joined and ("2 sounds" in "".join(audio.notes)) == joined


@pytest.mark.parametrize("name", [n for n in SOUNDS if "joined" not in n and "chained" not in n])
def test_sounds_are_those_of_ffmpeg(name: str) -> None:
    av = pytest.importorskip("av")
    with av.open(CASES / name) as container:
        whole = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    whole = whole / 32768 if whole.dtype == np.int16 else whole
    error = Audio.open(CASES / name).samples[0] - whole
    assert 10 * np.log10((whole**2).sum() / (error**2).sum().clip(1e-12)) > 60


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_right_and_what_was_guessed_is_said(name: str) -> None:
    height, width, mean, note = PICTURES[name]
    image = Image.open(CASES / name)
    assert image.size == (height, width)
    assert image.pixels.mean() == pytest.approx(mean, abs=0.1)
    if note is None:
        assert image.notes == ()
    else:
        assert len(image.notes) == 1 and note in image.notes[0]


@pytest.mark.parametrize("name", PICTURES)
def test_paths_and_bytes_give_the_same(name: str) -> None:
    by_path = Image.open(CASES / name)
    by_bytes = Image.open(io.BytesIO((CASES / name).read_bytes()), name)
    np.testing.assert_array_equal(by_path.pixels, by_bytes.pixels)
    assert by_path.notes == by_bytes.notes and (by_path.alpha is None) == (by_bytes.alpha is None)
