"""Videos to frames and back: every frame, its time and its size; codes of them in files."""

import dataclasses
import io
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clips import animation, clip, frames, read
from tests.helpers import frames_prior, lattice_prior
from vqcodec.codec.framerates import FrameRates
from vqcodec.codec.image import ImageCodec
from vqcodec.codec.video import VideoCodec
from vqcodec.coding.framemodel import FrameModel
from vqcodec.codingpriors import coding_priors
from vqcodec.errors import FormatError, MediaError, UsageError, WeightsError
from vqcodec.files import interframe, vqc
from vqcodec.files.codes import Codes
from vqcodec.files.contents import VideoInfo, seconds_of
from vqcodec.files.frames import CodingPrior
from vqcodec.files.reader import Reader
from vqcodec.files.videoframes import VideoFrames
from vqcodec.framepriors import FRAME_PRIOR, frame_prior
from vqcodec.media.image import Image
from vqcodec.media.video import Video, open_video
from vqcodec.media.videoformats import is_video
from vqcodec.media.videoreader import Frame
from vqcodec.media.videowriter import open_writer
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import prior_bytes, write_part
from vqcodec.weights import read_weights

TIMES = [0, 7, 40, 41, 100, 160, 161, 200]  # milliseconds


def opened(data: bytes) -> Video:
    with open_video(io.BytesIO(data), "x") as reader:
        return Video.of(reader)


def milliseconds(video: Video) -> list[Fraction]:
    """Return how long each frame is shown."""
    return [1000 * Fraction(ticks) / video.rate for ticks in video.durations.tolist()]


def no_prior(*_: object) -> CodingPrior:
    raise AssertionError("none is named")


def test_frames_and_times_are_read_as_they_are() -> None:
    pictures = frames()
    video = opened(clip(pictures, TIMES, Fraction(1, 1000)))
    np.testing.assert_array_equal(video.pixels, pictures)  # FFV1 loses nothing
    assert video.rate == 1000 and video.durations.tolist()[:-1] == np.diff(TIMES).tolist()


def test_a_pipe_is_read_as_it_comes() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pictures = frames()
    for options in ({}, {"container": "mp4", "codec": "mpeg4", "pix_fmt": "yuv420p"}):
        data = clip(pictures, **options)  # type: ignore[arg-type]
        with open_video(Pipe(data), "pipe") as reader:
            assert len(Video.of(reader).pixels) == len(pictures)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animated_pictures_are_videos(kind: str) -> None:
    pictures, durations = frames(4), [100, 40, 30, 250]
    video = opened(animation(pictures, durations, kind))
    assert milliseconds(video) == durations
    assert video.pixels.shape == pictures.shape
    if kind != "GIF":
        np.testing.assert_array_equal(video.pixels, pictures)


def test_a_turned_video_is_read_upright() -> None:
    av = pytest.importorskip("av")
    data = bytearray(clip(frames(2), container="mp4", codec="mpeg4", pix_fmt="yuv420p"))
    place = data.index(b"tkhd") + 4 + 4 + 8 + 4 + 4 + 4 + 8 + 2 + 2 + 2 + 2
    one = 1 << 16
    turned = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30]  # by 90 degrees
    data[place : place + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in turned)
    with av.open(io.BytesIO(bytes(data))) as container:
        first = next(container.decode(video=0))
        stored = first.to_ndarray(format="rgb24")
    assert abs(first.rotation) == 90
    video = opened(bytes(data))
    assert video.pixels.shape == (2, 32, 24, 3)
    np.testing.assert_array_equal(video.pixels[0], np.rot90(stored, first.rotation // 90))


def test_transparency_is_put_on_white() -> None:
    video = opened(clip(frames(2), container="mov", codec="qtrle", pix_fmt="argb"))
    assert "transparency is put on white" in video.notes


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
@pytest.mark.parametrize("size", [(24, 32), (23, 31)])
def test_what_is_written_has_all_frames_times_and_the_size(
    suffix: str, size: tuple[int, int]
) -> None:
    if suffix != ".gif":
        pytest.importorskip("av")
    pictures = np.concatenate([frames(3, *size)] * 2)
    pictures[2] = pictures[1]  # frames that are alike stay two
    durations = [10, 20, 40, 10, 90, 30]
    file = io.BytesIO()
    writer = open_writer(file, suffix, size, Fraction(1000), "x", seek=True)
    for pixels, duration in zip(pictures, durations, strict=True):
        writer.write(Frame(pixels, duration))
    writer.close()
    if suffix != ".gif":
        found, times = read(file.getvalue())
        expected = [Fraction(t, 1000) for t in np.cumsum([0, *durations[:-1]]).tolist()]
        assert times == expected and found.shape == pictures.shape
    video = opened(file.getvalue())
    shown = durations if suffix != ".mkv" else durations[:-1]  # Matroska tells only starts
    told = milliseconds(video)[: len(shown)]
    assert told == shown and video.pixels.shape == pictures.shape
    if suffix == ".mkv":
        np.testing.assert_array_equal(video.pixels, pictures)


def test_frames_are_coded_as_pictures_are(tiny_weights: Path) -> None:
    pictures = frames(5, 37, 41)
    codec, still = VideoCodec.load(tiny_weights), ImageCodec.load(tiny_weights)
    codes = codec.encode(pictures, rate=30)
    grids = [still.encode(Image(p)).grids[0] for p in pictures]
    np.testing.assert_array_equal(codes.indices, np.stack(grids))
    assert codes.video == VideoInfo((5, 37, 41), (5, 37, 41), (30, 1))
    decoded = codec.decode(codes)
    for number, pixels in enumerate(decoded.pixels):
        image = still.decode(still.encode(Image(pictures[number]), tinted=False))
        assert int(np.abs(pixels.astype(int) - image.pixels).max()) <= 1
    small = codec.encode(pictures, scale=0.5)
    assert small.media.coded_size == (5, 18, 20) and small.grids[0].shape == (5, 5, 5)
    assert codec.decode(small).pixels.shape == pictures.shape
    with pytest.raises(UsageError, match="uint8 array"):
        codec.encode(pictures[0])


def test_files_of_videos_give_back_codes_and_times(coded_weights: Path) -> None:
    codec = VideoCodec.load(coded_weights)
    info = VideoInfo((40, 24, 32), (40, 24, 32), (1000, 1), tuple(range(1, 41)))
    skewed = np.random.default_rng(0).geometric(0.3, (40, 6, 8)) - 1
    grid = np.minimum(skewed, 31).astype(np.uint16)
    name, identity = codec.weights.name, codec.weights.codebook_id
    codes = Codes((grid,), codec.codebook_sizes, "thw", name, identity, info)
    assert seconds_of(info) == pytest.approx(0.82)
    priors = coding_priors(codec.weights)
    for data in (codes.to_bytes(".npz"), vqc.dump(codes), codes.to_bytes(".vqc", prior=priors)):
        assert Codes.from_bytes(data, "x") == codes
    assert len(codes.to_bytes(".vqc", prior=priors)) < len(vqc.dump(codes))
    with np.load(io.BytesIO(codes.to_bytes(".npz"))) as arrays:
        np.testing.assert_array_equal(arrays["indices"], grid)
        assert arrays["durations"].tolist() == list(info.durations)


def test_groups_are_entered_anywhere_and_written_as_they_come(coded_weights: Path) -> None:
    codec = VideoCodec.load(coded_weights)
    pictures = frames(70)
    file, sizes = io.BytesIO(), []

    def coming() -> Iterator[Frame]:
        for number, pixels in enumerate(pictures):
            sizes.append(file.tell())
            yield Frame(pixels, number + 1)

    info = codec.info((24, 32), Fraction(1000), 1.0)
    priors = coding_priors(codec.weights)
    written = codec.encode_stream(coming(), info, file, priors)
    assert written.frames == 70 and sizes[-1] > sizes[1] > 0  # something came before the end
    whole = Codes.from_bytes(file.getvalue(), "x")
    np.testing.assert_array_equal(whole.grids[0], codec.encode(pictures).grids[0])
    assert whole.video.durations == tuple(range(1, 71))
    file.seek(0)
    stream = VideoFrames.open(file, lambda *_: priors[0])
    group = next(iter(stream.groups(first=64)))
    np.testing.assert_array_equal(group.grids[0], whole.grids[0][64:])
    assert group.durations == tuple(range(65, 71))


def test_damage_is_an_error(coded_weights: Path) -> None:
    codec = VideoCodec.load(coded_weights)
    codes = codec.encode(frames(40))
    prior = coding_priors(codec.weights)[0]
    for data in (vqc.dump(codes), vqc.dump(codes, (prior,))):
        assert vqc.load(data, lambda *_: prior) == codes
        rng = np.random.default_rng(0)
        for place in rng.choice(len(data), 60, replace=False).tolist():
            wrong = bytearray(data)
            wrong[place] ^= 1 << int(rng.integers(8))
            try:
                other = vqc.load(bytes(wrong), lambda *_: prior)
            except FormatError:
                continue
            assert dataclasses.replace(other, model=codes.model) != codes, place
        for length in rng.choice(len(data), 40, replace=False).tolist():
            with pytest.raises(FormatError):
                vqc.load(data[:length], lambda *_: prior)
        with pytest.raises(FormatError, match="foreign"):
            vqc.load(data + b"\0", lambda *_: prior)


def test_groups_cannot_be_exchanged_or_left_out(tiny_weights: Path) -> None:
    codes = VideoCodec.load(tiny_weights).encode(frames(96))
    data = vqc.dump(codes)
    one = (len(data) - len(vqc.dump(_first(codes, 32)))) // 2
    end = len(data) - 6
    start = end - 3 * one
    groups = [data[start + i * one : start + (i + 1) * one] for i in range(3)]
    assert data[:start] + b"".join(groups) + data[end:] == data
    for order in ([1, 0, 2], [0, 2], [0, 1, 1, 2]):
        with pytest.raises(FormatError, match=r"checksum|length"):
            vqc.load(data[:start] + b"".join(groups[i] for i in order) + data[end:], no_prior)


def test_of_a_file_that_was_cut_whole_groups_are_left(coded_weights: Path) -> None:
    codec = VideoCodec.load(coded_weights)
    codes = codec.encode(frames(70), rate=20)
    (prior,) = coding_priors(codec.weights)
    for priors in ((), (prior,)):
        data = vqc.dump(codes, priors)
        ends = [len(vqc.dump(_first(codes, n), priors)) - 6 for n in (32, 64)]  # less its end
        ends.append(len(data) - 6)
        for length in (ends[0], ends[0] + 1, ends[1] - 1, ends[1] + 30, *range(ends[2], len(data))):
            whole = [32, 64, 70][sum(length >= end for end in ends) - 1]
            cut, told = data[:length], rf"first {whole} frames are whole \({whole / 20:.2f} s\)"
            found = vqc.load(cut, lambda *_: prior, partial=True)
            assert found == _first(codes, whole)
            with pytest.raises(FormatError, match=f"truncated after {length:,} bytes: .*{told}"):
                vqc.load(cut, lambda *_: prior)
        for length in (ends[0] - 1, ends[0] - 100):
            with pytest.raises(FormatError, match="none of its groups of frames is whole"):
                vqc.load(data[:length], lambda *_: prior, partial=True)
        wrong = bytearray(data)
        wrong[ends[0] + 20] ^= 1  # in the second group, which is there
        with pytest.raises(FormatError, match="checksum"):
            vqc.load(bytes(wrong), lambda *_: prior, partial=True)


def _first(codes: Codes, number: int) -> Codes:
    size = (number, *codes.media.size[1:])
    media = dataclasses.replace(codes.video, size=size, coded_size=size)
    return dataclasses.replace(codes, grids=tuple(g[:number] for g in codes.grids), media=media)


def test_bad_videos_are_a_sentence(tmp_path: Path) -> None:
    data = clip(frames(20), container="mp4", codec="mpeg4", pix_fmt="yuv420p")
    sound = clip(frames(1), sound=1)
    bad = {
        "empty file": b"",
        "damaged or unsupported": data[:4] + b"ftyp" + bytes(500),
        "damaged or unsupported animation": animation(frames(3), [9, 9, 9], "PNG")[:90],
    }
    for message, content in bad.items():
        with pytest.raises(MediaError, match=message):
            opened(content)
    assert opened(sound).pixels.shape[0] == 1
    with pytest.raises(MediaError, match="no such file"), open_video(tmp_path / "x.mp4"):
        pass


def test_a_change_of_size_is_told() -> None:
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        for size, before in (((24, 32), 0), ((48, 64), 3)):
            context = av.CodecContext.create("mpeg2video", "w")
            context.height, context.width, context.pix_fmt = *size, "yuv420p"
            context.time_base, context.framerate = Fraction(1, 25), 25
            if not before:
                stream = output.add_stream("mpeg2video", rate=25)
                stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for pts, pixels in enumerate(frames(3, *size)):
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
                frame.pts = pts + before
                for packet in context.encode(frame):
                    packet.stream = stream
                    output.mux(packet)
            for packet in context.encode(None):
                packet.stream = stream
                output.mux(packet)
    with pytest.raises(MediaError, match="changes its size on the way, from 32×24 to 64×48"):
        opened(file.getvalue())


def test_without_pyav_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\0\0\0\x20ftypisom" + bytes(100) + b"moov"
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MediaError, match=r"pip install 'vqcodec\[video\]'"):
        opened(data)
    assert is_video(data[:12], ".mp4")


def test_a_picture_of_few_bytes_is_no_transport_stream() -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(60)
    assert not is_video(png, "") and not is_video(b"G", "")
    packets = (b"\x47" + bytes(187)) * 3
    assert is_video(packets, "") and is_video(bytes(4) + packets, "")


def test_containers_of_sound_alone_are_no_video(tmp_path: Path) -> None:
    cases = Path(__file__).parents[1] / "cases"
    pytest.importorskip("av")
    for name in ("sound_a.m4a", "sound_a.webm"):
        path = cases / name
        assert not is_video(path.read_bytes()[:4096], path.suffix, path)
        (tmp_path / "x.mp4").write_bytes(path.read_bytes())
        assert not is_video(path.read_bytes()[:4096], ".mp4", tmp_path / "x.mp4")
    both = clip(frames(2), sound=1)
    (tmp_path / "y.mkv").write_bytes(both)
    assert is_video(both[:4096], ".mkv", tmp_path / "y.mkv") and is_video(both[:4096], "")


def test_frames_are_coded_by_a_prior_that_has_seen_those_before(framed_weights: Path) -> None:
    codec = VideoCodec.load(framed_weights)
    model = frame_prior(codec.weights)
    assert isinstance(model, FrameModel)
    skewed = np.minimum(np.random.default_rng(0).geometric(0.3, (40, 6, 8)) - 1, 31)
    grid = skewed.astype(np.uint16)
    size = (40, 24, 32)
    name, identity = codec.weights.name, codec.weights.codebook_id
    info = VideoInfo(size, size, (25, 1))
    codes = Codes((grid,), codec.codebook_sizes, "thw", name, identity, info)
    data, packed = codes.to_bytes(".vqc"), vqc.dump(codes)
    assert Codes.from_bytes(data, "x") == codes and len(data) < len(packed)
    # what a frame costs, by the network on all frames at once, in floating point
    prior, known = frames_prior((32,), coding=True), torch.from_numpy(grid.astype(np.int64))
    (costs,) = prior((known[None],))
    measured = interframe.bits(grid, model)
    assert measured == pytest.approx(costs[0].sum((1, 2)).numpy(), rel=0.01)
    alone = interframe.bits(grid, model, 0)
    assert alone[0] == measured[0] and (alone[1:] != measured[1:]).all()
    content = interframe.code(grid, model)
    assert 8 * len(content) < measured.sum() + 8 * 9 * len(grid) + 8
    decoded = interframe.decode(Reader(content), grid.shape, model)
    np.testing.assert_array_equal(decoded, grid)
    with pytest.raises(FormatError):
        interframe.decode(Reader(content[:-1]), grid.shape, model)
    with pytest.raises(FormatError, match="too short"):
        interframe.decode(Reader(bytes(16)), (16, 1 << 6, 1 << 7), model)
    with pytest.raises(FormatError, match="too large"):
        interframe.decode(Reader(bytes(1 << 12)), (1, 1 << 10, 1 << 10), model)


def test_files_of_other_frame_priors_are_refused(
    framed_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = VideoCodec.load(framed_weights)
    grid = np.zeros((9, 6, 8), np.uint16)
    size = (9, 24, 32)
    name, identity = codec.weights.name, codec.weights.codebook_id
    codes = Codes((grid,), codec.codebook_sizes, "thw", name, identity, VideoInfo(size, size))
    data = codes.to_bytes(".vqc")
    assert codec.decode(Codes.from_bytes(data, "x")).pixels.shape == (*size, 3)
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    shutil.copytree(framed_weights, tmp_path / "framed")
    _, other = prior_bytes(frames_prior((32,), frames=1, coding=True))
    table = {"codebook_id": identity.hex()}
    write_part(read_weights(tmp_path / "framed"), table, FRAME_PRIOR, other, force=True)
    with pytest.raises(WeightsError, match="needs the coding prior"):
        Codes.from_bytes(data, "x")
    for wrong in (frames_prior((24,), coding=True), lattice_prior((32,), (1,))):
        _, data = prior_bytes(wrong)
        write_part(read_weights(tmp_path / "framed"), table, FRAME_PRIOR, data, force=True)
        with pytest.raises(WeightsError, match="not a prior of these weights"):
            frame_prior(read_weights(tmp_path / "framed"))
        with pytest.raises(WeightsError, match="not a prior of these weights"):
            codes.to_bytes(".vqc")  # and are not packed instead


def test_foreign_bytes_give_some_codes_or_a_sentence(framed_weights: Path) -> None:
    model = frame_prior(read_weights(framed_weights))
    assert isinstance(model, FrameModel)
    rng, shape = np.random.default_rng(2), (3, 6, 8)
    content = interframe.code(rng.integers(32, size=shape).astype(np.uint16), model)
    decoded = 0
    for _ in range(40):
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(len(content), size=3)] = rng.integers(256, size=3)
        try:
            grid = interframe.decode(Reader(changed.tobytes()), shape, model)
        except FormatError:
            continue
        decoded += 1
        assert grid.shape == shape and grid.max() < 32
    assert decoded > 10


def test_threads_and_company_change_no_byte(framed_weights: Path) -> None:
    """Sums are exact: of frames coded alone, or with one more thread, or in larger products."""
    model = frame_prior(read_weights(framed_weights))
    assert isinstance(model, FrameModel)
    grid = np.random.default_rng(1).integers(32, size=(5, 7, 9)).astype(np.uint16)
    before = model.before(grid)
    together = model.beside(before)
    assert np.array_equal(together, np.rint(together)) and np.abs(together).max() < 1 << 24
    for frame in range(5):
        alone = model.beside(before[frame : frame + 1])
        assert np.array_equal(alone[0], together[frame])
    assert (before[0] == 32).all() and np.array_equal(before[4], grid[2:4])


def test_a_rate_weight_makes_files_smaller(framed_weights: Path) -> None:
    codec, pixels = VideoCodec.load(framed_weights), np.repeat(frames(3, 26, 35), 2, 0)
    model = frame_prior(codec.weights)
    assert isinstance(model, FrameModel)
    worth = FrameRates(codec.pictures, 1).measure(pixels[0])  # of a unit of distance
    weights = (0, 1e-6 * worth, worth, 1e6 * worth)
    found = [codec.encode(pixels, rate_weight=weight) for weight in weights]
    bits = [float(interframe.bits(codes.grids[0], model).sum()) for codes in found]
    assert found[0] == found[1]  # a little weight asks for the nearest codes
    assert bits[1] > bits[2] > bits[3]
    # where only bits count, no other code is cheaper in the last pass, which no other cell sees
    cheapest = found[3].grids[0][:1]
    for other in range(32):
        changed = cheapest.copy()
        changed[0, 1, 0] = other
        assert interframe.bits(changed, model)[0] >= interframe.bits(cheapest, model)[0]
    with pytest.raises(UsageError, match="needs a coding prior of frames"):
        VideoCodec.load("tiny").encode(pixels, rate_weight=50)


def test_chosen_codes_are_those_of_the_network_in_floating_point(framed_weights: Path) -> None:
    codec, pixels = VideoCodec.load(framed_weights), frames(3, 24, 32)
    rates = FrameRates(codec.pictures, 200.0)
    found = rates.encode(pixels)
    prior, model = frames_prior((32,), coding=True), codec.pictures.model
    worth = rates.measure(pixels[0]) / 200.0
    grid = torch.full((1, 3 + 2, *found.shape[1:]), 32)
    with torch.no_grad():
        for number, picture in enumerate(pixels):
            signal = to_signal(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()))
            distances: list[torch.Tensor] = []

            def keep(d: torch.Tensor, kept: list[torch.Tensor] = distances) -> torch.Tensor:
                kept.append(d)
                return d.argmin(1)

            model.encode(signal, choose=keep)
            walk = prior.walk((grid[:, number : number + 2],), torch.zeros(1, dtype=torch.long))
            grid[:, number + 2] = walk.choose(distances[0] * worth).indices
    assert np.mean(grid[0, 2:].numpy() == found) > 0.95  # ties may fall either way
