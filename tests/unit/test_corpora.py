"""Who speaks and what is said: layouts of corpora, manifests, folders."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers import voice
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source, find_sources
from vqcodec.data.tables import read_table
from vqcodec.errors import MediaError
from vqcodec.evaluate.conversion.voices import Recordings
from vqcodec.evaluate.speech.recordings import languages
from vqcodec.evaluate.study import named
from vqcodec.modality import AUDIO

# of each corpus its files, and what is to be found: recording -> speaker, text
CORPORA: dict[str, tuple[dict[str, str], dict[str, tuple[str, str]]]] = {
    "LibriSpeech": (
        {
            "LibriSpeech/dev-clean/84/121123/84-121123.trans.txt": (
                "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN FIVE MINUTES\n"
            ),
            "LibriSpeech/dev-clean/8842/302196/8842-302196.trans.txt": "8842-302196-0012 NO\n",
        },
        {
            "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac": ("84", "GO DO YOU HEAR"),
            "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac": (
                "84",
                "BUT IN LESS THAN FIVE MINUTES",
            ),
            "LibriSpeech/dev-clean/84/121123/84-121123-0002.flac": ("84", ""),
            "LibriSpeech/dev-clean/84/121550/84-121550-0000.flac": ("84", ""),
            "LibriSpeech/dev-clean/8842/302196/8842-302196-0012.opus": ("8842", "NO"),
        },
    ),
    "VCTK": (
        {
            "txt/p225/p225_001.txt": "Please call Stella.\n",
            "txt/s5/s5_001.txt": "Please call Stella. ",
        },
        {
            "wav48/p225/p225_001.wav": ("p225", "Please call Stella."),
            "wav48_silence_trimmed/p225/p225_001_mic1.flac": ("p225", "Please call Stella."),
            "wav48_silence_trimmed/p225/p225_001_mic2.flac": ("p225", "Please call Stella."),
            "wav48_silence_trimmed/p315/p315_001_mic1.flac": ("p315", ""),
            "wav48_silence_trimmed/s5/s5_001_mic1.flac": ("s5", "Please call Stella."),
        },
    ),
    "LJSpeech": (
        {
            "LJSpeech-1.1/metadata.csv": (
                'LJ001-0001|in 1846, "so called"|in eighteen forty-six, "so called"\n'
                "LJ001-0002|in being comparatively modern.\nLJ001-0003|the same|\nLJ001-0004||\n"
            )
        },
        {
            "LJSpeech-1.1/wavs/LJ001-0001.wav": ("LJ", 'in eighteen forty-six, "so called"'),
            "LJSpeech-1.1/wavs/LJ001-0002.wav": ("LJ", "in being comparatively modern."),
            "LJSpeech-1.1/wavs/LJ001-0003.wav": ("LJ", "the same"),
            "LJSpeech-1.1/wavs/LJ001-0004.wav": ("LJ", ""),
            "LJSpeech-1.1/wavs/LJ001-0005.wav": ("LJ", ""),
        },
    ),
    "CMU ARCTIC": (
        {
            "cmu_us_bdl_arctic/etc/txt.done.data": (
                '( arctic_a0001 "Author of the danger trail, Philip Steels, etc." )\n'
                '(arctic_b0002 "Lord, but I\'m glad.")\n'
            )
        },
        {
            "cmu_us_bdl_arctic/wav/arctic_a0001.wav": (
                "bdl",
                "Author of the danger trail, Philip Steels, etc.",
            ),
            "cmu_us_bdl_arctic/wav/arctic_a0009.wav": ("bdl", ""),
            "cmu_us_bdl_arctic/wav/arctic_b0002.wav": ("bdl", "Lord, but I'm glad."),
            "cmu_us_slt_arctic/wav/arctic_a0001.wav": ("slt", ""),
        },
    ),
}


def lay(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (root / name).write_bytes(data)
    return root


def pack(folder: Path, path: Path, arcname: str = "") -> Path:
    with tarfile.open(path, "w") as tar:
        tar.add(folder, arcname=arcname)
    return path


def told(data: Path) -> dict[str, tuple[str, str, str]]:
    """Return speaker, text and language of each recording by its name."""
    asked = Catalogue()
    return {
        s.name.removeprefix("./"): (asked.speaker(s), asked.text(s), asked.language(s))
        for s in find_sources([data], AUDIO)
    }


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_corpora_are_known_in_folders_and_tars(tmp_path: Path, corpus: str, ends: str) -> None:
    texts, recordings = CORPORA[corpus]
    root = lay(tmp_path / "Größe 語", dict.fromkeys(recordings, b""))
    lay(root, {name: text.replace("\n", ends) for name, text in texts.items()})
    expected = {name: (*found, "en") for name, found in recordings.items()}
    assert told(root) == expected
    assert told(pack(root, tmp_path / "a.tar")) == expected
    assert told(pack(root, tmp_path / "b.tar", ".")) == expected
    # from anywhere inside, and of one file alone
    name = next(iter(recordings))
    assert told((root / name).parent)[Path(name).name] == expected[name]
    assert told(root / name) == {Path(name).name: expected[name]}


def test_a_tar_counts_as_a_folder_of_its_name(tmp_path: Path) -> None:
    texts, recordings = CORPORA["CMU ARCTIC"]
    root = lay(tmp_path, {**texts, **dict.fromkeys(recordings, "")})
    (tmp_path / "x").mkdir()
    path = pack(root / "cmu_us_bdl_arctic", tmp_path / "x" / "cmu_us_bdl_arctic.tar")
    assert told(path)["wav/arctic_a0001.wav"][0] == "bdl"
    lay(root / "top", {"one.wav": b""})
    assert told(pack(root / "top", tmp_path / "x" / "ann.tar"))["one.wav"] == ("ann", "", "")


@pytest.mark.parametrize("corpus", CORPORA)
def test_damaged_texts_leave_gaps(tmp_path: Path, corpus: str) -> None:
    texts, recordings = CORPORA[corpus]
    root = lay(tmp_path / "data", dict.fromkeys(recordings, ""))
    (name, text), *_ = texts.items()
    lay(root, {name: b"\xef\xbb\xbf" + text.encode()})  # a byte order mark does no harm
    whole = told(root)
    first = next(iter(recordings))
    assert whole[first][1] == recordings[first][1]
    lines = text.encode().splitlines()
    for bad in (b"", b"\xff\xfe" + lines[0], b"\0" * 100, text[:5].encode("utf-16-le")):
        lay(root, {name: b"\n".join([bad, *lines[1:]])})
        found = told(root)
        assert found[first] == (recordings[first][0], "", "en")
        others = [n for n, _ in zip(recordings, lines, strict=False)][1:]
        assert [found[n] for n in others] == [whole[n] for n in others]
    (root / name).unlink()
    assert {text for _, text, _ in told(root).values()} <= {"", "Please call Stella."}
    (root / name).mkdir()
    assert told(root)[first] == (recordings[first][0], "", "en")


@pytest.mark.parametrize(
    "name",
    [
        "103/1240/104-1240-0000.flac",  # another speaker's
        "1240/103-1240-0000.flac",
        "a/103/1240/103_1240_000000_000001.wav",  # LibriTTS
        "p225/p225_001.wav",
        "wav48/p225/p226_001.wav",
        "wavs/WV001-0001.wav",
        "cmu_us_bdl_arctic/arctic_a0001.wav",
        "bdl/wav/arctic_a0001.wav",
    ],
)
def test_what_only_looks_alike_goes_by_its_folder(tmp_path: Path, name: str) -> None:
    lay(tmp_path, {name: b"", "metadata.csv": "WV001-0001|no|no\n"})
    assert told(tmp_path) == {name: (Path(name).parent.name, "", "")}


def test_folders_name_speakers_wherever_they_are_seen_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path / "data", {"zoë/one.wav": b"", "bob/deep/two.wav": b""})
    assert told(tmp_path / "data") == {
        "zoë/one.wav": ("zoë", "", ""),
        "bob/deep/two.wav": ("deep", "", ""),
    }
    monkeypatch.chdir(tmp_path / "data" / "zoë")
    for seen in (".", "one.wav", "../zoë", str(tmp_path / "data" / "zoë")):
        assert list(told(Path(seen)).values()) == [("zoë", "", "")]


def test_a_manifest_tells_more_than_layouts_and_folders(tmp_path: Path) -> None:
    files = {
        "manifest.csv": "\ufeffpath,speaker,text,language\r\n"
        'ann/one.wav,Änne,"Ja, ""gut"".",de\r\n'
        "./ann/two.wav,,Nein.,\r\n"
        "wav48/p225/p225_001.wav,stella,,en-GB\r\n"
        "gone.wav,nobody,,\r\n",
        "txt/p225/p225_001.txt": "Please call Stella.",
        **dict.fromkeys(["ann/one.wav", "ann/two.wav", "ann/three.wav"], ""),
        "wav48/p225/p225_001.wav": "",
    }
    root = lay(tmp_path / "data", files)
    expected = {
        "ann/one.wav": ("Änne", 'Ja, "gut".', "de"),
        "ann/two.wav": ("ann", "Nein.", ""),
        "ann/three.wav": ("ann", "", ""),
        "wav48/p225/p225_001.wav": ("stella", "Please call Stella.", "en-GB"),
    }
    assert told(root) == expected
    assert told(pack(root, root / "all.tar", ".")) == expected
    # a tar in a folder brings a manifest of its own
    sources = named(find_sources([root], AUDIO))
    assert len(sources) == 8
    spoken = languages(sources, Catalogue())
    assert sorted(spoken.values()) == ["de", "de", "en-GB", "en-GB"]
    # columns that lack, and short lines, are no damage
    lay(root, {"manifest.csv": "path\nann/one.wav\n\n"})
    (root / "all.tar").unlink()
    assert told(root)["ann/one.wav"] == ("ann", "", "")


@pytest.mark.parametrize("content", [b"path,speaker\n\xff,x\n", b'path,speaker\n"a,b\n'])
def test_a_damaged_manifest_is_an_error(tmp_path: Path, content: bytes) -> None:
    root = lay(tmp_path / "data", {"a.wav": b"", "manifest.csv": content})
    for data in (root, pack(root, tmp_path / "a.tar")):
        with pytest.raises(MediaError, match=rf"{data}.*manifest\.csv is no table"):
            told(data)


def test_tables_are_read_from_folders_and_tars(tmp_path: Path) -> None:
    root = lay(tmp_path / "data", {"phones.csv": "a,b\n1,2\n", "deep/phones.csv": "c\n3\n"})
    for data in (root, pack(root, tmp_path / "a.tar", "."), pack(root, tmp_path / "b.tar")):
        assert read_table(data, "phones.csv") == [{"a": "1", "b": "2"}]
        assert read_table(data, "none.csv") == []
    assert read_table(root / "phones.csv", "phones.csv") == []  # neither folder nor tar


def test_the_same_text_is_the_same_sentence(tmp_path: Path) -> None:
    names = [f"wav48/{who}_00{n}.wav" for n in (1, 2) for who in ("p225/p225", "p226/p226")]
    names += ["ann/one.wav", "ben/one.flac", "ben/two.wav"]
    texts = {
        "txt/p225/p225_001.txt": "Please call Stella.",
        "txt/p226/p226_001.txt": "Ask her.",
        "txt/p225/p225_002.txt": "Ask -- HER!\n",
    }
    lay(tmp_path, texts)
    for seed, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        voice(100 + seed, seed=seed).save(tmp_path / name)
    sources: dict[str, Source] = named(find_sources([tmp_path], AUDIO))
    recordings = Recordings(sources, embed=False, catalogue=Catalogue())
    assert set(recordings.speakers.values()) == {"p225", "p226", "ann", "ben"}

    def reads(speaker: str, name: str) -> str | None:
        found = recordings.reading(speaker, sources[name])
        return None if found is None else names[len(found) - 100]

    assert reads("p226", "wav48/p225/p225_002.wav") == "wav48/p226/p226_001.wav"
    assert reads("p226", "wav48/p225/p225_001.wav") is None
    assert reads("ben", "ann/one.wav") == "ben/one.flac"
    assert reads("ann", "ben/two.wav") is None
    assert reads("ben", "ben/two.wav") == "ben/two.wav"
