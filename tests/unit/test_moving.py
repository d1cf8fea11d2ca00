"""Video of which frames are made of the frame before: vectors, codes, files."""

import io
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers import Run, picture
from vqcodec import Codec, Codes, Image
from vqcodec.codec.motion import AROUND, FAR, SIDE, Reference
from vqcodec.codec.moving import FIRST, Choice, MovingCodec
from vqcodec.codec.refined import DEFAULT_WEIGHT
from vqcodec.codec.video import VideoCodec
from vqcodec.coding.lattice import Walk
from vqcodec.coding.movingmodel import ACTIVITY, MovingModel, Past, displacement
from vqcodec.errors import FormatError, UsageError, VqcodecError, WeightsError
from vqcodec.files import moving
from vqcodec.files.reader import Reader
from vqcodec.files.videoframes import VideoFrames
from vqcodec.files.videostream import FRAMES
from vqcodec.framepriors import frame_prior, needed_prior
from vqcodec.media.videoreader import Frame
from vqcodec.weights import CONFIG, read_weights

Pixels = NDArray[np.uint8]
TAPS = {0: (0, 64, 0, 0), 1: (-6, 46, 28, -4), 2: (-4, 36, 36, -4), 3: (-4, 28, 46, -6)}


@pytest.fixture(scope="module")
def codec(moving_weights: Path) -> MovingCodec:
    found = VideoCodec.load(moving_weights, "cpu")
    assert isinstance(found, MovingCodec)
    return found


@pytest.fixture(scope="module")
def model(codec: MovingCodec) -> MovingModel:
    return codec.prior


def pan(number: int, height: int = 26, width: int = 35) -> Pixels:
    """Frames of a view that moves by three pixels to the right, and one down."""
    wide = picture(height + number, width + 3 * number, seed=5)
    return np.stack([wide[t : t + height, 3 * t : 3 * t + width] for t in range(number)])


def slowly_moved(pixels: Pixels, vectors: NDArray[np.int64]) -> Pixels:
    """What `Reference.moved` shall make, pixel by pixel."""
    height, width = pixels.shape[:2]

    def at(y: int, x: int) -> NDArray[np.int64]:
        return pixels[min(max(y, 0), height - 1), min(max(x, 0), width - 1)].astype(np.int64)

    def between(y: int, x: int) -> NDArray[np.int64]:
        total = np.zeros(3, np.int64)
        for i, down in enumerate(TAPS[y % 4]):
            for j, across in enumerate(TAPS[x % 4]):
                total += down * across * at(y // 4 + i - 1, x // 4 + j - 1)
        return np.clip((total + 2048) >> 12, 0, 255)

    def share(distance: int) -> int:  # of a block whose middle is so many half pixels away
        return max(0, 16 - abs(distance))

    found = np.zeros_like(pixels)
    for y, x in np.ndindex(height, width):
        total, weights = np.zeros(3, np.int64), 0
        for row, column in np.ndindex(vectors.shape[:2]):
            weight = share(2 * y + 1 - 2 * (8 * row + 4)) * share(2 * x + 1 - 2 * (8 * column + 4))
            if weight:
                down, across = vectors[row, column].tolist()
                total += weight * between(4 * y + down, 4 * x + across)
                weights += weight
        found[y, x] = (total + weights // 2) // weights
    return found


def test_blocks_are_moved_by_quarters_of_pixels_and_overlap() -> None:
    for height, width in ((16, 24), (5, 19)):
        pixels, reference = picture(height, width, seed=3), Reference(picture(height, width, 3))
        shape = (*reference.shape, 2)
        vectors = np.random.default_rng(0).integers(-4 * FAR, 4 * FAR + 1, shape)
        # a block at an edge may be filled up: then what is repeated there is the filled picture
        filled = np.pad(pixels, ((0, -height % SIDE), (0, -width % SIDE), (0, 0)), mode="edge")
        expected = slowly_moved(filled, vectors)[:height, :width]
        np.testing.assert_array_equal(reference.moved(vectors), expected)
        assert FAR.max() + SIDE // 2 < AROUND


def test_the_longest_vectors_stay_within_what_is_around() -> None:
    pixels = picture(16, 16, seed=1)
    for signs in itertools.product((-1, 1), repeat=2):
        vectors = np.broadcast_to(4 * FAR * np.array(signs), (2, 2, 2))
        y, x = (np.clip(np.arange(16) + f * s, 0, 15) for f, s in zip(FAR, signs, strict=True))
        np.testing.assert_array_equal(Reference(pixels).moved(vectors), pixels[y[:, None], x])


def test_what_moved_is_found() -> None:
    wide = picture(64, 80, seed=9)
    before, after = wide[8:56, 8:72], wide[3:51, 15:79]
    still = np.zeros((6, 8, 2), np.int64)
    vectors, errors = Reference(before).candidates(after, still)
    assert vectors.shape == (*errors.shape, 2) and (np.abs(vectors) <= 4 * FAR).all()
    best = np.take_along_axis(vectors, errors.argmin(0)[None, ..., None], 0)[0]
    inner = best[1:, :-1]  # blocks that were in the picture before
    assert (inner == np.array([-5 * 4, 7 * 4])).all() and not errors.min(0)[1:, :-1].any()
    # and errors are those of luma, for all colours
    lightness = [(p.astype(int) @ np.array([2, 5, 1])) >> 3 for p in (before, after)]
    expected = 3 * np.square(lightness[0] - lightness[1]).reshape(6, 8, 8, 8).sum((1, 3))
    (place,) = np.nonzero((vectors == 0).all((1, 2, 3)))
    np.testing.assert_array_equal(errors[place[0]], expected)


def test_what_is_known_of_the_frame_before_moves_along() -> None:
    rng = np.random.default_rng(2)
    height, width = 5, 7
    maps = rng.integers(0, 16, (4, height, width)).astype(np.uint16)
    still = np.zeros((3, 4), np.uint16)
    past = Past((still, still), maps[0], tuple(maps[1:]))
    rows, columns = (rng.integers(0, 128, (3, 4)).astype(np.uint16) for _ in range(2))
    found = past.moved(128, rows, columns)
    assert len(found) == 3  # activity, and the codes of two codebooks
    for y, x in np.ndindex(height, width):
        down, across = (int(g[y // 2, x // 2]) for g in (rows, columns))
        down, across = (v - 128 if v >= 64 else v for v in (down, across))
        from_y = min(max(y + int(np.floor(down / 16 + 0.5)), 0), height - 1)
        from_x = min(max(x + int(np.floor(across / 16 + 0.5)), 0), width - 1)
        for grid, own in zip(maps, found, strict=False):
            assert own[y, x] == grid[from_y, from_x]
    codes = np.arange(128, dtype=np.uint16)
    np.testing.assert_array_equal(displacement(codes, 128) % 128, codes)


def group(length: int, shape: tuple[int, int], seed: int = 0) -> tuple[NDArray[np.uint16], ...]:
    """Maps as a group has them: of a few codes."""
    rng = np.random.default_rng(seed)
    blocks = tuple(-(-n // 2) for n in shape)
    grids = [rng.integers(0, 5, (length, *blocks)) for _ in range(2)]
    grids += [rng.integers(0, k, (length, *shape)) for k in (32, 16, 16, 16)]
    for grid in grids[:2]:
        grid[0] = 0
        grid[1:] %= 256
    grids[2][1:] = 0
    return tuple(grid.astype(np.uint16) for grid in grids)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (7, 12)])
def test_groups_are_read_as_they_were_written(model: MovingModel, shape: tuple[int, int]) -> None:
    grids = group(4, shape)
    condition = model.condition(1, 2)
    assert model.classes(condition) == (1, 2) and moving.can_code(model, grids, condition)
    data = moving.code(grids, model, condition)
    found, told = moving.decode(Reader(data), [grid.shape for grid in grids], model)
    assert told == condition
    assert all((a == b).all() for a, b in zip(found, grids, strict=True))
    bits = moving.bits(grids, model, condition)
    # what a coder adds: of each frame, and of each map of the first one, a length and half a byte
    assert 0 < 8 * len(data) - bits.sum() < 8 * (1 + 3 * 8)
    # a frame costs what it costs whatever follows
    some = tuple(grid[:3] for grid in grids)
    np.testing.assert_allclose(moving.bits(some, model, condition), bits[:3])


def test_a_frame_is_told_what_the_frame_before_was(model: MovingModel) -> None:
    grids = group(3, (8, 8))
    bits = moving.bits(grids, model, 0)
    for number in (0, 3, 4):  # rows of vectors, codes of the first two codebooks
        changed = [grid.copy() for grid in grids]
        changed[number][1] = (changed[number][1] + 1) % 4
        found = moving.bits(changed, model, 0)
        assert (found[2] != bits[2]).any() and (found[0] == bits[0]).all()
    # activity goes on for a while
    past = Past.begin((4, 4), (8, 8), 3)
    busy = [np.full((8, 8), 1, np.uint16)] * 3
    quiet = [np.zeros((8, 8), np.uint16)] * 3
    still = [np.zeros((4, 4), np.uint16)] * 2
    seen = []
    for codes in [busy] * 9 + [quiet] * 9:
        maps = [*still, *codes]

        def known(walk: Walk, number: int, maps: "list[NDArray[np.uint16]]" = maps) -> Any:
            walk.know(maps[number][None])
            return maps[number]

        _, past = model.frame(past, 0, known)
        seen.append(int(past.activity[0, 0]))
    assert seen[:9] == sorted(seen[:9]) and seen[9:] == sorted(seen[9:], reverse=True)
    assert seen[0] == 3 and seen[-1] < seen[8] < ACTIVITY


def test_only_groups_that_begin_with_a_picture_are_coded(model: MovingModel) -> None:
    grids = group(3, (4, 4))
    for number, frame in ((0, 0), (1, 0), (2, 1)):
        changed = [grid.copy() for grid in grids]
        changed[number][frame, 0, 0] = 1
        assert not moving.can_code(model, changed, 0)
    assert not moving.can_code(model, grids, model.conditions)


def test_foreign_bytes_give_some_codes_or_a_sentence(model: MovingModel) -> None:
    grids = group(3, (6, 6))
    shapes: list[tuple[int, ...]] = [grid.shape for grid in grids]
    data = bytearray(moving.code(grids, model, 0))
    rng, read = np.random.default_rng(0), 0
    for number in range(60):
        broken = bytearray(data[: None if number % 2 else rng.integers(1, len(data) + 1)])
        broken[rng.integers(len(broken))] = rng.integers(256)
        try:
            found, _ = moving.decode(Reader(bytes(broken)), shapes, model)
        except FormatError:
            continue
        read += 1
        assert all(g.max() < k for g, k in zip(found, model.codebook_sizes, strict=True))
    assert read
    with pytest.raises(FormatError, match="condition"):
        moving.decode(Reader(bytes([model.conditions]) + bytes(99)), shapes, model)
    with pytest.raises(FormatError, match="too short"):
        large: list[tuple[int, ...]] = [(900, n, n) for n in (16, 16, 32, 32, 32, 32)]
        moving.decode(Reader(bytes([0, *b"\0\0\0\0"]) + bytes(899)), large, model)
    with pytest.raises(FormatError, match="too large"):
        moving.decode(Reader(bytes(9)), [(1, 1 << 10, 1 << 10)] * 6, model)


def test_videos_go_through_files_and_streams(codec: MovingCodec) -> None:
    pixels = pan(FRAMES + 3)
    codes = codec.encode(pixels)
    assert [grid.shape for grid in codes.grids] == [(35, 4, 5)] * 2 + [(35, 7, 9)] * 4
    assert codec.maps[0].stride == (1, 8, 8) and codec.maps[-1].stride == (1, 4, 4)
    starts = np.arange(len(pixels)) % FRAMES == 0
    for number, grid in enumerate(codes.grids[:3]):  # vectors, and codes of first frames
        assert grid[starts if number == 2 else ~starts].any()
        assert not grid[~starts if number == 2 else starts].any()
    data = codes.to_bytes(".vqc", prior=codec.prior)
    assert len(data) < len(codes.to_bytes(".vqc", prior=False))
    stream, info = io.BytesIO(), codec.info(pixels.shape[1:3], codes.video.frame_rate[0], 1.0)  # type: ignore[arg-type]
    codec.encode_stream((Frame(p, 1) for p in pixels), info, stream, codec.prior)
    assert len(stream.getvalue()) == len(data)
    for file in (data, stream.getvalue()):
        frames = VideoFrames.open(io.BytesIO(file), lambda *_: codec.prior)
        shown = np.stack([frame.pixels for frame in codec.decoded(frames)])
        np.testing.assert_array_equal(shown, codec.decode(codes).pixels)
    # whoever enters at the second group sees the same
    later = next(iter(VideoFrames.open(io.BytesIO(data), lambda *_: codec.prior).groups(FRAMES)))
    alone = list(codec._decoded(later.grids, (26, 35)))
    np.testing.assert_array_equal(np.stack(alone), shown[FRAMES:])


def test_a_file_finds_its_prior_by_name(
    codec: MovingCodec, moving_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(moving_weights.parent))
    codes = codec.encode(pan(3))
    data = codes.to_bytes(".vqc")
    found = Codes.from_bytes(data, "file")
    assert found == codes and found.condition == codes.condition
    model = needed_prior("moving", codec.weights.codebook_id, codec.prior.identity, None)
    assert isinstance(model, MovingModel)


def test_first_frames_are_pictures_of_the_codec_of_pictures(
    codec: MovingCodec, refined_weights: Path
) -> None:
    pictures = Codec.load(refined_weights, "cpu", "fp32")
    (pixels,) = pan(1)
    codes = codec.encode(pixels[None])
    alone = pictures.encode(
        Image(pixels), scale=1, rate_weight=FIRST * DEFAULT_WEIGHT, tinted=False
    )
    assert all((a[0] == b).all() for a, b in zip(codes.grids[2:], alone.grids, strict=True))
    np.testing.assert_array_equal(codec.decode(codes).pixels[0], pictures.decode(alone).pixels)


def test_vectors_take_what_moves_along(codec: MovingCodec) -> None:
    before, after = pan(2, 48, 64)
    past = Past.begin((6, 8), (12, 16), 3)
    choice = Choice(codec, after, Reference(before), past, 15.0)
    (rows, columns, *codes), _ = codec.prior.frame(past, 0, choice)
    inner = np.stack([displacement(g[1:-1, 1:-1], 256) for g in (rows, columns)], -1)
    assert np.mean((inner == np.array([4, 12])).all(-1)) > 0.7
    # what is lacking then is told where it lies
    moved = Reference(before).moved(codec.vectors(rows, columns))
    lacks = np.square(moved.astype(int) - after).reshape(12, 4, 16, 4, 3).sum((1, 3, 4))
    assert lacks[codes[0] > 0].mean() > 4 * lacks[codes[0] == 0].mean()


def test_what_frames_were_made_of_is_shown(codec: MovingCodec) -> None:
    pixels = pan(FRAMES + 2)
    codes = codec.encode(pixels, rate_weight=30.0)
    shown = codec.decode(codes).pixels
    rows, columns = codes.grids[:2]
    for number, (moved, frame) in enumerate(codec.made(codes)):
        np.testing.assert_array_equal(frame, shown[number])
        expected = frame
        if number % FRAMES:
            vectors = codec.vectors(rows[number], columns[number])
            expected = Reference(shown[number - 1]).moved(vectors)
        np.testing.assert_array_equal(moved, expected)
    bits = codec.bits(codes)
    assert bits.shape == (len(pixels), 6) and (bits[1:FRAMES, 2] == 0).all()
    size = len(codes.to_bytes(".vqc", prior=codec.prior))
    assert 0 < 8 * size - bits.sum() < 8 * (10 * len(pixels) + 200)  # lengths, sums, the header


def test_figures_count_every_map(
    codec: MovingCodec,
    moving_weights: Path,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    from vqcodec.figures.moving import motion_colours, per_index
    from vqcodec.figures.video import CodedVideo

    pixels = pan(4, 32, 40)
    codes = codec.encode(pixels)
    coded = CodedVideo("a", codes, codec.decode(codes))
    bits = codec.bits(codes)
    still, other = per_index(coded, bits)
    assert np.isnan(still[:2]).all() and np.isnan(other[2])
    whole = 80 * still[2:].sum() + 3 * (20 * other[:2].sum() + 80 * other[3:].sum())
    assert whole == pytest.approx(bits.sum())
    steps = np.array([[[0, 0], [0, 5], [0, -5], [5, 0], [0, 1]]], float)
    (colours,) = motion_colours(steps, 5.0).astype(int)
    assert (colours[0] == 255).all() and len({tuple(c) for c in colours.tolist()}) == 5
    assert colours[4].min() > colours[1].min()  # shorter ones are paler
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(moving_weights.parent))
    (tmp_path / "a.vqc").write_bytes(codes.to_bytes(".vqc", prior=codec.prior))
    done = run("inspect", "a.vqc", "-o", "a.png")
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    assert f"vectors {other[0]:.2f} + {other[1]:.2f}; codes of further frames" in said
    assert Image.open(tmp_path / "a.png").size[1] == 1720
    # of a single frame, which follows none
    one = codec.encode(pixels[:1])
    (tmp_path / "one.vqc").write_bytes(one.to_bytes(".vqc", prior=codec.prior))
    done = run("inspect", "one.vqc", "-o", "one.png")
    assert done.returncode == 0 and b"vectors" not in done.stdout, done.stderr


def test_a_rate_weight_makes_files_smaller(codec: MovingCodec) -> None:
    pixels = pan(4, 32, 40)
    sizes, said = [], []
    for weight in (0.0, 2000.0):
        codes = codec.encode(pixels, rate_weight=weight)
        sizes.append(len(codes.to_bytes(".vqc", prior=codec.prior)))
        said.append(sum(int((grid[1:] > 0).sum()) for grid in codes.grids[3:]))
    assert sizes[0] > sizes[1] and said[0] > said[1]
    assert codec.weight_of(1) == pytest.approx(3000) and codec.weight_of(99) == pytest.approx(15)


def test_odd_sizes_and_single_frames(codec: MovingCodec) -> None:
    for number, height, width in ((1, 1, 1), (3, 1, 1), (2, 3, 9), (2, 17, 8)):
        pixels = pan(number, height, width)
        found = codec.decode(codec.encode(pixels, rate_weight=15.0)).pixels
        assert found.shape == pixels.shape
    smaller = codec.encode(pan(2, 32, 32), scale=0.5)
    assert smaller.grids[-1].shape == (2, 4, 4)
    assert codec.decode(smaller).pixels.shape == (2, 32, 32, 3)


def test_what_cannot_be_is_told(
    codec: MovingCodec, moving_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="codes videos alone"):
        Codec.load(moving_weights)
    monkeypatch.setattr(moving, "MAX_CELLS", 10)
    with pytest.raises(UsageError, match="too large.*'plain'"):
        codec.encode(pan(2))
    shutil.copytree(moving_weights.parent / "plain", tmp_path / "plain")
    shutil.copytree(moving_weights.parent / "refined", tmp_path / "refined")
    config = json.loads((moving_weights / CONFIG).read_text(encoding="utf-8"))
    changes: tuple[dict[str, Any], ...] = (
        {"rates": {}},
        {"rates": {"curvature": [1.0, 1.0], "least": 1, "most": 2}},
        {"codebook_id": "00000000"},
        {"model": {**config["model"], "on": {"name": "plain", "codebook_id": "00000000"}}},
        {"files": {"model.safetensors": config["files"]["model.safetensors"]}},
    )
    for number, change in enumerate(changes):
        folder = tmp_path / f"w{number}"
        shutil.copytree(moving_weights, folder)
        (folder / CONFIG).write_text(json.dumps({**config, **change}), encoding="utf-8")
        with pytest.raises(VqcodecError):
            VideoCodec.load(folder)


def test_priors_of_other_maps_are_refused(model: MovingModel, framed_weights: Path) -> None:
    with pytest.raises(ValueError, match="not one of moving pictures"):
        MovingModel(model.stills.arrays, model.stills)
    assert not isinstance(frame_prior(read_weights(framed_weights)), MovingModel)
