"""What is measured on is what can be read; what cannot be used is left out and said."""

import tarfile
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
import soundfile

from tests.helpers import picture, voice
from vqcodec.data.sources import find_sources
from vqcodec.errors import MediaError
from vqcodec.media.image import Image
from vqcodec.modality import AUDIO
from vqcodec.train.image.data import MAX_ENLARGED, Pictures, read_picture
from vqcodec.train.run import hold_out
from vqcodec.train.speech.data import read_recording

READ = partial(read_picture, side=16, minimum=16)


def folder_of(path: Path, good: list[int], broken: list[int]) -> Path:
    path.mkdir()
    for number in good:
        Image(picture(20, 24, number)).save(path / f"{number:02}.png")
    for number in broken:
        (path / f"{number:02}.png").write_bytes(b"no picture")
    return path


def names(sources: list) -> list[str]:  # type: ignore[type-arg]
    return [source.name for source in sources]


def test_every_twentieth_is_held_out_or_the_next_that_can_be_read(tmp_path: Path) -> None:
    good = [n for n in range(45) if n not in (20, 21, 40)]
    train, measured, notes = hold_out([folder_of(tmp_path / "a", good, [20, 21, 40])], [], READ)
    assert names(measured) == ["00.png", "22.png", "41.png"]
    assert len(train) == 42 and not set(names(train)) & set(names(measured)) and not notes


@pytest.mark.parametrize(("good", "broken"), [([1], [0]), ([0], [1]), ([0], [])])
def test_one_that_can_be_read_is_learned_and_measured(
    tmp_path: Path, good: list[int], broken: list[int]
) -> None:
    train, measured, _ = hold_out([folder_of(tmp_path / "a", good, broken)], [], READ)
    assert names(measured) == [f"{good[0]:02}.png"]
    assert len(Pictures(train, 16, 16)) == 1


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    sound = voice(4000)
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("1.wav", "2.wav", "3.wav"):
        soundfile.write(folder / name, sound.samples.T, sound.sample_rate)
        (folder / f"._{name}").write_bytes(b"\0\5\x16\7" + bytes(100))
    (folder / "more.tar.gz").write_bytes(b"")
    with tarfile.open(tmp_path / "inner.tar", "w") as tar:
        tar.add(folder / "1.wav", "1.wav")
    with tarfile.open(folder / "outer.tar", "w") as tar:
        tar.add(tmp_path / "inner.tar", "inner.tar")
    train, measured, notes = hold_out([folder], [], read_recording, AUDIO)
    assert names(measured) == ["1.wav"] and names(train) == ["2.wav", "3.wav"]
    assert sorted(notes) == [
        "2 passed over: archives; unpack them first",
        "3 passed over: hidden",
    ]


def test_thin_pictures_are_not_enlarged_to_gigabytes(tmp_path: Path) -> None:
    for number, size in enumerate([(1, 20_000), (300_000, 1), (3, 90)]):
        Image(picture(*size)).save(tmp_path / f"{number}.png")
    tracemalloc.start()
    pictures = Pictures(find_sources([tmp_path]), side=512, minimum=128)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [p.shape for p in map(pictures.__getitem__, range(len(pictures)))] == [(128, 3840, 3)]
    assert [s.split(",")[0] for s in pictures.skipped] == ["0.png: too thin", "1.png: too thin"]
    assert peak < 16 * MAX_ENLARGED
    with pytest.raises(MediaError, match="1×20,000 pixels|20,000×1 pixels"):
        read_picture(find_sources([tmp_path])[0], 128, 128)
