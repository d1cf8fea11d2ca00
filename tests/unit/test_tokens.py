"""Token shards: what they hold, that they are made exactly once, and what stands in the way."""

import contextlib
import importlib.util
import io
import json
import os
import pickle
import random
import resource
import shutil
import signal
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import clips
from tests.helpers import picture, voice
from vqcodec import tokens
from vqcodec.codec.image import Codec
from vqcodec.codec.speech import SpeechCodec
from vqcodec.codec.video import VideoCodec
from vqcodec.errors import FormatError, MediaError, OutputError, UsageError
from vqcodec.files.codes import Codes
from vqcodec.media.audio import Audio
from vqcodec.media.image import Image
from vqcodec.modality import AUDIO, IMAGE, VIDEO, Modality
from vqcodec.tokens.commit import HOME
from vqcodec.tokens.formats.tarwriter import npy
from vqcodec.tokens.inputs import Shard, find_modality, find_shards, key_of, kinds_of
from vqcodec.tokens.manifest import begin, read_record, read_settings
from vqcodec.tokens.samples import Samples
from vqcodec.tokens.settings import Settings
from vqcodec.tokens.task import Event, Task, finish
from vqcodec.tokens.workers import run
from vqcodec.weights import find_weights


def png(seed: int = 0, height: int = 24, width: int = 32) -> bytes:
    file = io.BytesIO()
    Image(picture(height, width, seed)).write(file, "PNG", "picture")
    return file.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = [(m.name, tar.extractfile(m)) for m in tar]
        assert len({name for name, _ in found}) == len(found)
        return {name: file.read() for name, file in found if file}


def task_of(
    output: Path,
    *inputs: Path,
    modality: Modality = IMAGE,
    model: str = "tiny",
    shard_size: int = 10_000,
    **changes: object,
) -> Task:
    """Return a task as the command line would make it."""
    found, weights = find_shards(list(inputs), modality, shard_size), find_weights(model)
    told: dict[str, object] = {"format": "webdataset", "keep": (), "vqc": False}
    told |= {"engine": "torch", "precision": "fp32", **changes}
    settings = Settings(
        modality=modality.name,
        model=model,
        codebook_id=weights.codebook_id.hex(),
        codebook_sizes=weights.codebook_sizes,
        axes=modality.axes,
        shard_size=shard_size,
        loose=found.digest,
        **told,  # type: ignore[arg-type]
    )
    return Task(found.shards, output, settings, modality, model, "cpu")


def make(task: Task) -> list[Event]:
    """Do a task in this process; return what was told of shards."""
    told: list[Event] = []
    begin(task.output, task.settings)
    run(task, 1, told.append)
    if all(map(task.is_done, task.shards)):
        finish(task)
    return [event for event in told if event.record or event.problem]


def files(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six shards of pictures of two sizes."""
    folder = tmp_path / "corpus"
    for shard in range(6):
        found = [
            (f"{shard}/{i:03}.{ext}", data)
            for i in range(5)
            for ext, data in (
                ("cls", b"%d" % i),
                ("png", png(10 * shard + i, 24, 24 + 8 * (i % 2))),
            )
        ]
        write_tar(folder / f"{shard:05}.tar", found)
    return folder


def test_a_shard_holds_what_the_codec_makes(corpus: Path, tmp_path: Path) -> None:
    make(task_of(tmp_path / "out", corpus, keep=("cls",), vqc=True))
    codec = Codec.load("tiny", "cpu", "fp32")
    found = list(tokens.read_codes(tmp_path / "out"))
    assert [key for key, _ in found] == [f"{s}/{i:03}" for s in range(6) for i in range(5)]
    for place, (key, codes) in enumerate(found):
        shard, i = divmod(place, 5)
        image = Image.open(io.BytesIO(png(10 * shard + i, 24, 24 + 8 * (i % 2))))
        assert codes == codec.encode(image, tinted=False), key
    assert [(key, maps[0].tolist()) for key, maps in tokens.read(tmp_path / "out")] == [
        (key, codes.grids[0].tolist()) for key, codes in found
    ]
    inside = members(tmp_path / "out" / "00000.tar")
    assert list(inside)[:4] == [f"0/000.{e}" for e in ("cls", "indices.json", "indices.npy", "vqc")]
    assert inside["0/003.cls"] == b"3"
    assert Codes.from_bytes(inside["0/000.vqc"], "it") == found[0][1]
    array = np.load(io.BytesIO(inside["0/001.indices.npy"]))
    assert array.dtype == np.uint16 and array.shape == (6, 8)
    told = json.loads(inside["0/001.indices.json"])
    assert told["model"] == "tiny" and told["size"] == [24, 32]


def test_transparency_is_in_the_range_coded_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    alpha = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    image = Image(picture(24, 32), alpha)
    image.save(tmp_path / "in" / "a.png")
    make(task_of(tmp_path / "out", tmp_path / "in", vqc=True))
    inside = members(tmp_path / "out" / "00000.tar")
    codec = Codec.load("tiny", "cpu", "fp32")
    assert Codes.from_bytes(inside["a.vqc"], "it") == codec.encode(image, tinted=False)
    ((_, codes),) = tokens.read_codes(tmp_path / "out")
    assert codes == codec.encode(Image(image.pixels), tinted=False)


def test_parquet_is_read_by_pyarrow_alone(corpus: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    make(task_of(tmp_path / "tars", corpus))
    make(task_of(tmp_path / "out", corpus, format="parquet", keep=("cls",), vqc=True))
    table = parquet.read_table(tmp_path / "out")  # the folder: what is no shard is passed over
    assert table.num_rows == 30
    assert table.schema.metadata[b"model"] == b"tiny"
    for row, (key, codes) in zip(
        table.to_pylist(), tokens.read_codes(tmp_path / "tars"), strict=True
    ):
        assert row["key"] == key and row["cls"] == key[-1].encode()
        shape = row["height"], row["width"]
        assert np.array_equal(np.reshape(row["indices"], shape), codes.grids[0])
        assert Codes.from_bytes(row["vqc"], key) == codes
    pairs = zip(
        tokens.read_codes(tmp_path / "out"), tokens.read_codes(tmp_path / "tars"), strict=True
    )
    assert all(a == b for a, b in pairs)


@pytest.mark.usefixtures("spoken_weights")
def test_recordings_become_codes_and_a_field_of_a_shar(tmp_path: Path) -> None:
    sounds = {f"talk-1.{i}": voice(4_000 + 800 * i, 16_000, 1 + i % 2, seed=i) for i in range(3)}
    data = {}
    for name, sound in sounds.items():
        sound.save(tmp_path / "it.wav", force=True)
        data[name] = (tmp_path / "it.wav").read_bytes()
    listed = [(f"{n}.{e}", d) for n in sounds for e, d in (("wav", data[n]), ("json", b"{}"))]
    source = write_tar(tmp_path / "in" / "recording.000003.tar", [*listed, ("x.nodata", b"")])
    task = task_of(tmp_path / "out", source, modality=AUDIO, model="spoken", format="shar")
    (event,) = make(task)
    assert event.record and event.record.samples == 3 and event.record.errors == 0
    inside = members(tmp_path / "out" / "codes.000003.tar")
    names = [f"{n}.{e}" for n in sounds for e in ("npy", "json")]
    assert list(inside) == [*names, "x.nodata", "x.nometa"]
    codec = SpeechCodec.load("spoken", "cpu", "fp32")
    for (key, (grid,)), name in zip(tokens.read(task.output), data, strict=True):
        told = json.loads(inside[f"{name}.json"])
        codes = codec.encode(Audio.open(io.BytesIO(data[name])))
        assert key == name and np.array_equal(grid, codes.grids[0])
        assert told["array"]["shape"] == [*grid.T.shape] and told["temporal_dim"] == 0
        assert told["frame_shift"] == 64 / 16_000
    with pytest.raises(FormatError, match="indices alone"):
        list(tokens.read_codes(task.output))

    loose = tmp_path / "loose"
    loose.mkdir()
    for name, sound_file in data.items():
        (loose / f"{name}.wav").write_bytes(sound_file)
    assert find_modality([loose]) is AUDIO
    make(task_of(tmp_path / "wds", loose, modality=AUDIO, model="spoken"))
    for (key, codes), name in zip(tokens.read_codes(tmp_path / "wds"), data, strict=True):
        assert key == name.replace(".", "_") and codes == codec.encode(loose / f"{name}.wav")


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_videos_become_maps_of_their_frames(form: str, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / "in").mkdir()
    for name, times in (("even", None), ("odd", [0, 1, 3, 4, 6, 7, 9, 10])):
        (tmp_path / "in" / f"{name}.mkv").write_bytes(clips.clip(clips.frames(), times))
    assert find_modality([tmp_path], kinds_of(find_weights("tiny"))) is VIDEO
    make(task_of(tmp_path / "out", tmp_path / "in", modality=VIDEO, format=form, vqc=True))
    codec = VideoCodec.load("tiny", "cpu", "fp32")
    found = dict(tokens.read_codes(tmp_path / "out"))
    assert list(found) == ["even", "odd"]
    for key, codes in found.items():
        assert codes == codec.encode(tmp_path / "in" / f"{key}.mkv")
        assert codes.grids[0].shape == (8, 6, 8)
    assert found["odd"].video.durations[:7] == (40, 80, 40, 80, 40, 80, 40)


@pytest.mark.usefixtures("paired_weights")
def test_several_maps_lie_side_by_side(corpus: Path, tmp_path: Path) -> None:
    make(task_of(tmp_path / "out", corpus, model="paired"))
    codec = Codec.load("paired", "cpu", "fp32")
    assert f"0/000.indices.{len(codec.maps) - 1}.npy" in members(tmp_path / "out" / "00000.tar")
    key, found = next(tokens.read_codes(tmp_path / "out"))
    assert key == "0/000" and found == codec.encode(
        Image.open(io.BytesIO(png(0, 24, 24))), tinted=False
    )
    if importlib.util.find_spec("pyarrow"):
        make(task_of(tmp_path / "parquet", corpus, model="paired", format="parquet"))
        assert next(tokens.read_codes(tmp_path / "parquet")) == (key, found)


def test_bytes_follow_from_the_input_alone(corpus: Path, tmp_path: Path) -> None:
    make(task_of(tmp_path / "a", corpus))
    shutil.copytree(corpus, tmp_path / "again")  # with other times
    task = task_of(tmp_path / "b", tmp_path / "again")
    for shard in reversed(task.shards):
        make(replace(task, shards=(shard,)))
    make(task)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_what_is_done_is_not_opened_again(corpus: Path, tmp_path: Path) -> None:
    make(task_of(tmp_path / "out", corpus))
    before = files(tmp_path / "out")
    (tmp_path / "out" / "00002.tar").unlink()
    for shard in (0, 1, 3, 4, 5):
        (corpus / f"{shard:05}.tar").write_bytes(b"no tar at all")
    (event,) = make(task_of(tmp_path / "out", corpus))
    assert event.shard.name == "00002"
    assert files(tmp_path / "out") == before


def test_bad_samples_are_listed_and_the_others_done(tmp_path: Path) -> None:
    source = write_tar(
        tmp_path / "in.tar",
        [
            ("README", b"nothing"),
            ("a.png", png(1)),
            ("broken.png", png(2)[:300]),
            ("b.png", png(3)),
            ("b.jpg", png(3)),
            ("c.seg.png", png(4)),
            ("a.PNG", png(5)),
            ("../d.png", png(6)),
            ("only.txt", b"text"),
            ("e.png", png(7)),
            ("e.seg.png", png(8)),
        ],
    )
    (event,) = make(task_of(tmp_path / "out", source))
    assert event.record and (event.samples, event.errors, event.record.passed_over) == (3, 4, 2)
    assert [key for key, _ in tokens.read(tmp_path / "out")] == ["a", "c", "e"]
    lines = (tmp_path / "out" / HOME / "in.errors.jsonl").read_text().splitlines()
    told = {e["key"]: e["error"] for e in map(json.loads, lines)}
    assert list(told) == ["broken", "b", "a", "../d"]
    assert "broken.png" in told["broken"] and "png, jpg" in told["b"]
    assert "another sample" in told["a"] and "leads out" in told["../d"]


def test_loose_files_are_cut_into_shards(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("b/x.1.png", "a.png", "c.png", "b/y.png", "deep/er/z.png", ".hidden/w.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png())
    (folder / "a.txt").write_bytes(b"a word")
    task = task_of(tmp_path / "out", folder, shard_size=2, keep=("txt",))
    make(task)
    assert [s.files for s in task.shards] == [
        ("a.png", "b/x.1.png"),
        ("b/y.png", "c.png"),
        ("deep/er/z.png",),
    ]
    keys = [key for key, _ in tokens.read(tmp_path / "out")]
    assert keys == ["a", "b/x_1", "b/y", "c", "deep/er/z"]
    assert members(tmp_path / "out" / "00000.tar")["a.txt"] == b"a word"
    (folder / "aa.png").write_bytes(png())
    with pytest.raises(OutputError, match="other files"):
        make(task_of(tmp_path / "out", folder, shard_size=2, keep=("txt",)))
    (folder / "a.jpg").write_bytes(png())
    with pytest.raises(UsageError, match=r"a\.jpg and a\.png would both have the key 'a'"):
        find_shards([folder], IMAGE, 2)
    assert key_of("x.y/z.tar.png") == "x_y/z_tar"


def test_shards_of_one_name_are_refused(corpus: Path) -> None:
    with pytest.raises(UsageError, match="both hold a shard '00000'"):
        find_shards([corpus, corpus / "00000.tar"], IMAGE, 9)
    with pytest.raises(MediaError, match="no such file"):
        find_shards([corpus / "nowhere"], IMAGE, 9)
    with pytest.raises(MediaError, match="no recordings and no tars"):
        find_shards([Path(__file__)], AUDIO, 9)


@pytest.mark.parametrize("where", ["header", "data", "end", "boundary", "middle"])
def test_a_damaged_tar_becomes_nothing_and_stops_no_other(
    where: str, corpus: Path, tmp_path: Path
) -> None:
    whole = (corpus / "00002.tar").read_bytes()
    with tarfile.open(corpus / "00002.tar") as tar:
        last = tar.getmembers()[-1]
    at = {
        "header": last.offset + 100,
        "data": last.offset_data + 100,
        "end": last.offset_data + last.size,
        "boundary": last.offset,
    }
    damaged = whole[: at.get(where)]
    if where == "middle":
        damaged = whole[: last.offset] + os.urandom(512) + whole[last.offset + 512 :]
    (corpus / "00002.tar").write_bytes(damaged)
    told = make(task_of(tmp_path / "out", corpus))
    assert [e.shard.name for e in told if e.problem] == ["00002"]
    assert "00002.tar" in told[2].problem
    shards = sorted(p.name for p in (tmp_path / "out").glob("*.tar"))
    assert shards == [f"{i:05}.tar" for i in (0, 1, 3, 4, 5)]
    assert not list((tmp_path / "out").rglob("*.tmp"))
    (corpus / "00002.tar").write_bytes(whole)
    assert [e.problem for e in make(task_of(tmp_path / "out", corpus))] == [""]
    assert len(list(tokens.read(tmp_path / "out"))) == 30


def test_a_shard_that_changes_while_it_is_read_is_not_done(corpus: Path) -> None:
    path = corpus / "00000.tar"
    samples = iter(Samples(Shard("it", path), frozenset({".png"})))
    next(samples)
    with path.open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(MediaError, match="changed while it was read"):
        list(samples)


def test_nothing_is_added_to_what_was_made_otherwise(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(task_of(out, corpus))
    known = read_settings(out)
    assert known
    for change in ({"codebook_id": "00000000"}, {"engine": "onnx"}, {"keep": ("cls",)}):
        with pytest.raises(OutputError, match="name a new folder"):
            begin(out, Settings(**(vars(known) | change)))
    with pytest.raises(OutputError, match=r"holds '00000.tar' and no manifest"):
        begin(corpus, known)
    (out / HOME / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="no manifest that"):
        begin(out, known)


def test_a_manifest_that_cannot_be_reached_is_not_called_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"manifest.json: cannot be read \(Not a directory\)"):
        read_settings(tmp_path / "file")


def test_a_full_disk_leaves_nothing_behind(corpus: Path, tmp_path: Path) -> None:
    task = task_of(tmp_path / "out", corpus)
    begin(task.output, task.settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # writing beyond is an error
    try:
        with pytest.raises(OutputError, match=r"00000\.tar: cannot be written"):
            run(task, 1, lambda event: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [name for name in files(task.output) if name.endswith((".tar", ".tmp"))]


def hostile() -> Iterator[tuple[str, bytes]]:
    header = npy(np.zeros((2, 2), np.uint16))
    yield "huge", header.replace(b"(2, 2)", b"(2, 9999999999)".ljust(6))[:128]
    yield "pickle", pickle.dumps([1])
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    yield "objects", file.getvalue()
    yield "wide", npy(np.zeros((2, 2), np.int64))
    yield "short", header[:-3]


@pytest.mark.parametrize(
    ("name", "data"), list(hostile()), ids=["huge", "pickle", "objects", "wide", "short"]
)
def test_what_is_no_index_map_is_told(name: str, data: bytes, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", [("a.indices.npy", data), ("a.indices.json", b"{}")])
    with pytest.raises(FormatError, match=r"x\.tar"):
        list(tokens.read(path))


def test_reading_tells_damage(corpus: Path, tmp_path: Path) -> None:
    make(task_of(tmp_path / "out", corpus))
    path = tmp_path / "out" / "00000.tar"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FormatError, match="00000.tar"):
        list(tokens.read(tmp_path / "out"))
    with pytest.raises(FormatError, match="holds no token shards"):
        list(tokens.read(tmp_path / "out" / HOME))
    only = write_tar(tmp_path / "y.tar", [("a.indices.json", b"{}")])
    with pytest.raises(FormatError, match="no index map"):
        list(tokens.read(only))
    zero = npy(np.zeros((2, 2), np.uint16))
    bare = write_tar(tmp_path / "z.tar", [("a.indices.npy", zero), ("a.indices.json", b"[]")])
    with pytest.raises(FormatError, match="makes no sense"):
        list(tokens.read_codes(bare))


def forked(work: Callable[[], None]) -> int:
    """Start a process, in which torch is loaded already."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


def logging(task: Task, log: Path) -> Callable[[], None]:
    """Return work that notes each commit of its own."""

    def tell(event: Event) -> None:
        if event.record:
            with log.open("a") as file:
                file.write(event.shard.name + "\n")

    return lambda: run(task, 1, tell)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_any_moment_nothing_is_lost_or_done_twice(corpus: Path, tmp_path: Path) -> None:
    plain = task_of(tmp_path / "plain", corpus)
    start = time.monotonic()
    make(plain)
    whole = time.monotonic() - start
    rng, log = random.Random(), tmp_path / "log"
    task = task_of(tmp_path / "out", corpus)
    begin(task.output, task.settings)
    work, kills = logging(task, log), 0
    while kills < 60:
        child = forked(work)
        time.sleep(rng.uniform(0, whole / 2))
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        for path in task.output.glob("*.tar"):  # whatever is there is whole
            assert path.read_bytes() == (plain.output / path.name).read_bytes()
        if all(map(task.is_done, task.shards)):
            for path in rng.sample(sorted(task.output.glob("*.tar")), 4):
                path.unlink()
            log.unlink()
    os.waitpid(forked(work), 0)
    make(task)
    assert files(task.output) == files(plain.output)
    assert max(Counter(log.read_text().split()).values(), default=1) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_share_the_work_and_take_over_what_one_leaves(
    corpus: Path, tmp_path: Path
) -> None:
    plain = task_of(tmp_path / "plain", corpus)
    make(plain)
    for turn in range(3):
        task, log = task_of(tmp_path / f"out{turn}", corpus), tmp_path / f"log{turn}"
        begin(task.output, task.settings)
        children = [forked(logging(task, log)) for _ in range(3)]
        if turn:
            time.sleep(0.03 * turn)
            os.kill(children[0], signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            make(task)
        assert Counter(log.read_text().split()).most_common(1)[0][1] == 1
        assert files(task.output) == files(plain.output)
        assert read_record(task.output, "00000").samples == 5
