"""Training of what codes frames by those before: from videos to weights that code them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.clips import clip
from tests.helpers import Run, picture
from vqcodec import Codes, Image
from vqcodec.codec.motion import CANDIDATES, CODES, FAR, Reference
from vqcodec.codec.moving import MovingCodec, read_moving
from vqcodec.codec.refined import RefinedCodec
from vqcodec.codec.video import VideoCodec
from vqcodec.coding.movingmodel import displacement
from vqcodec.config import load_preset, override
from vqcodec.data.sources import Source
from vqcodec.errors import UsageError
from vqcodec.files import moving as files
from vqcodec.models.fixedpoint import from_arrays, to_arrays
from vqcodec.models.moving import VECTORS, Moving, build_moving
from vqcodec.models.refiningweights import write_moving
from vqcodec.train.config import split
from vqcodec.train.image.data import Pictures
from vqcodec.train.loop import Loop
from vqcodec.train.schedule import optimizers
from vqcodec.train.video import moving as training
from vqcodec.train.video.groups import STRETCH, Camera, Cut, Groups, MovingData, read_clips, tried
from vqcodec.train.video.moving import MovingFrames, Stills, Stream
from vqcodec.weights import read_weights

Pixels = NDArray[np.uint8]

SMALL = (
    *("model.refiner.dim=12", "model.refiner.width=8", "model.refiner.blocks=1"),
    *("model.quantizer.codebook_sizes=[16, 16, 16]", "model.quantizer.dim=12"),
    *("model.prior.units=[8]", "model.prior.embedding=4", "model.prior.blocks=1"),
    *("model.prior.trunk=1", "model.prior.depth=2", "model.prior.conditions=3"),
)
QUICK = (
    *("train.steps=4", "train.batch_size=2", "train.turns=1", "train.evaluate_every=2"),
    *("train.crop_size=32", "train.frame_side=40", "train.picture_side=80"),
)
SETTINGS = [word for assignment in (*SMALL, *QUICK) for word in ("--set", assignment)]
DATA = MovingData(crop_size=32, frame_side=40, picture_side=80, camera=0.5, turns=2)


def pan(number: int, height: int = 32, width: int = 40, seed: int = 5) -> Pixels:
    """Frames of a view that moves by three pixels to the right, and one down."""
    wide = picture(height + number, width + 3 * number, seed)
    return np.stack([wide[t : t + height, 3 * t : 3 * t + width] for t in range(number)])


@pytest.fixture
def stills(refined_weights: Path) -> RefinedCodec:
    return RefinedCodec(read_weights(refined_weights), "cpu", "fp32")


@pytest.fixture
def model(stills: RefinedCodec) -> Moving:
    found = build_moving(override(load_preset("video"), list(SMALL))["model"])
    training._begin(found, stills, None)
    return found.train()


def groups(camera: float = 0.0, processes: int = 1, photos: Pictures | None = None) -> Groups:
    clips = [pan(12, seed=seed) for seed in range(3)]
    data = MovingData(32, 40, 80, camera, turns=2)
    return Groups(clips, photos, data, 2, (15.0, 1500.0), 0, processes)


def task(model: Moving, stills: RefinedCodec) -> MovingFrames:
    return MovingFrames(model, groups(), [pan(9)[:8, :, :32]], Stills(stills))


def tensors(batch: dict[str, NDArray[np.generic]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def test_frames_of_a_group_follow_each_other_from_batch_to_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = groups()
    for name, array in given.batch(7).items():
        np.testing.assert_array_equal(array, given.batch(7)[name])
    nothing = np.zeros(0)
    monkeypatch.setattr("vqcodec.train.video.groups.tried", lambda *_: (nothing, nothing))
    lengths: dict[tuple[int, int], int] = {}
    weights = []
    for number in range(0, 4 * STRETCH):
        batch, later = given.batch(number), given.batch(number + 2)
        assert batch["slot"].tolist() == [2 * (number % 2), 2 * (number % 2) + 1]
        for n in range(2):
            place = int(batch["slot"][n]), int(batch["group"][n])
            lengths[place] = max(lengths.get(place, 0), int(batch["number"][n]))
            weights.append(float(batch["weight"][n]))
            if later["group"][n] == batch["group"][n]:
                assert later["number"][n] == batch["number"][n] + 1
                np.testing.assert_array_equal(later["before"][n], batch["x"][n])
                assert later["weight"][n] == batch["weight"][n]
            else:
                assert later["number"][n] == 1
    assert 1 <= min(lengths.values()) and 16 < max(lengths.values()) < STRETCH
    assert 15 <= min(weights) and max(weights) <= 1500
    # several processes have groups of their own
    slots = [set(groups(processes=2).batch(n)["slot"].tolist()) for n in range(6)]
    assert slots[:2] == slots[4:] and not (slots[0] | slots[2]) & (slots[1] | slots[3])


def test_vectors_to_choose_from_lead_to_the_frame_before() -> None:
    batch = groups().batch(3)
    vectors = displacement(batch["vectors"].astype(np.uint16), VECTORS)
    assert 4 * 2 * FAR.max() < VECTORS <= CODES
    best = np.take_along_axis(vectors, batch["costs"].argmin(1)[:, None, ..., None], 1)[:, 0]
    inner = best[:, 1:-1, 1:-1]  # steps of a view, forwards or back, and in a mirror
    assert np.mean((np.abs(inner) == [4, 12]).all(-1)) > 0.7
    frames = (batch[name][0].transpose(1, 2, 0) for name in ("before", "x"))
    _, costs = tried(Reference(next(frames)), next(frames), None, float(batch["weight"][0]))
    trust = costs[costs > 0] / batch["costs"][0][costs > 0]
    assert trust.std() < 1e-3 * trust.mean() and 0.75 <= trust.mean() <= 3


def test_where_all_stands_still_candidates_count_twice() -> None:
    pixels = picture(16, 16, seed=1)
    vectors, costs = tried(Reference(pixels), pixels, None, 9.0)
    assert vectors.shape == (CANDIDATES, 2, 2, 2) and costs.shape == vectors.shape[:3]
    zero = (vectors == 0).all(-1)
    assert zero.any(0).all() and not costs[zero].any()


def test_short_videos_run_back_again() -> None:
    frames = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    cut = Cut(frames, 9, 8, np.random.default_rng(0))
    assert [int(cut.frame(n)[0, 0, 0]) for n in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_a_camera_moves_over_a_photograph() -> None:
    photo, seen = picture(120, 140, seed=2), []
    for seed in range(12):
        camera = Camera(photo, 5, 32, np.random.default_rng(seed))
        frames = [camera.frame(n) for n in range(5)]
        assert all(frame.shape == (32, 32, 3) and frame.any() for frame in frames)
        errors = Reference(frames[0]).candidates(frames[1], np.zeros((4, 4, 2), np.int64))[1]
        still = 3 * np.square((frames[0].astype(int) - frames[1]) @ [2, 5, 1] / 8).sum()
        seen.append((errors.min(0).sum(), still))
    moved, stood = np.sum(seen, 0)
    assert moved < 0.3 * stood  # what it sees next is what moved


def test_it_begins_as_the_codec_of_first_frames(model: Moving, stills: RefinedCodec) -> None:
    theirs = from_arrays(stills.rates.prior.arrays)
    for number in range(3):
        own, other = model.prior.heads[7 + number], theirs.heads[1 + number]
        for key, value in other.state_dict().items():
            torch.testing.assert_close(own.state_dict()[key], value)
    np.testing.assert_array_equal(model.codebooks.numpy(), np.stack(stills.refinement.codebooks))
    assert model.rates.by_map() == list(stills.refinement.rates.curvature)
    # vectors that are near each other mean the like
    vectors = model.prior.embeddings[2].weight
    assert isinstance(vectors, torch.Tensor)
    apart = torch.cdist(vectors, vectors)
    for near, far in ((1, 60), (255, 200), (127, 5)):
        assert apart[0 if near != 127 else 126, near] < 0.5 * apart[0, far]


@pytest.fixture
def begun(model: Moving, refined_weights: Path, tmp_path: Path) -> Path:
    """Weights of what training begins with."""
    for name in ("plain", "refined", "begun"):
        if name == "begun":
            (tmp_path / name).mkdir()
        else:
            shutil.copytree(refined_weights.parent / name, tmp_path / name)
    on = read_weights(refined_weights).codebook_id.hex()
    table = {"on": {"name": "refined", "codebook_id": on}}
    table["refiner"] = override(load_preset("video"), list(SMALL))["model"]["refiner"]
    rates = {"curvature": model.rates.by_map(), "least": 15.0, "most": 1500.0}
    config = {"name": "begun", "modality": "video", "model": table, "rates": rates}
    write_moving(tmp_path / "begun", config, model)
    return tmp_path / "begun"


def test_figures_are_those_of_the_codec(model: Moving, stills: RefinedCodec, begun: Path) -> None:
    """What is chosen in training is what the codec chooses, by integers, and costs as much."""
    codec = VideoCodec.load(begun, "cpu")
    assert isinstance(codec, MovingCodec)
    training._begin(model, stills, str(begun))  # as rounded as they
    frames = pan(8)[:, :, :32]
    trained = MovingFrames(model.eval(), groups(), [frames], Stills(stills))
    figures = trained.evaluate(model).figures
    for weight in (100, 400):
        codes = codec.encode(frames, rate_weight=weight)
        shown = codec.decode(codes).pixels
        errors = np.square(shown.astype(float) - frames).mean((1, 2, 3))
        quality = (10 * np.log10(255**2 / errors)).mean()
        assert figures[f"psnr_at_{weight}"] == pytest.approx(quality, abs=0.1)
        bits = files.bits(codes.grids, codec.prior, codes.condition).sum() / frames[..., 0].size
        assert figures[f"bits_per_pixel_at_{weight}"] == pytest.approx(bits, rel=0.03)


def test_it_goes_on_from_weights_as_they_are(
    model: Moving, stills: RefinedCodec, begun: Path
) -> None:
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.zero_()
    training._begin(model, stills, str(begun))
    for name, tensor in model.state_dict().items():
        if name.startswith(("network", "analysis", "quantizer.books", "rates.curvature")):
            if not name.endswith("counts"):
                torch.testing.assert_close(tensor, kept[name], atol=1e-2, rtol=1e-2, msg=name)
    _, prior, _ = read_moving(read_weights(begun))
    expected = to_arrays(from_arrays(prior.lattice.arrays))
    for name, array in to_arrays(model.prior).items():
        np.testing.assert_array_equal(array, expected[name])


def test_frames_are_made_of_what_the_network_made(
    model: Moving, stills: RefinedCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, real = task(model, stills), training._before
    moved: list[list[Pixels]] = []

    def spy(streams: list[Stream], x: torch.Tensor) -> object:
        moved.append([stream.picture for stream in streams])
        return real(streams, x)

    monkeypatch.setattr(training, "_before", spy)
    places, made = [], list[Pixels]()
    for visit in range(12):
        given = tensors(trained.batch(2 * visit))
        places.append(list(zip(given["slot"].tolist(), given["group"].tolist(), strict=True)))
        trained.loss(model, given)
        for n in range(2):
            before = given["before"][n].permute(1, 2, 0).numpy()
            if not visit or places[-1][n] != places[-2][n]:  # a group begins: with a picture
                still, _ = Stills(stills).stream(before, float(given["weight"][n]))
                np.testing.assert_array_equal(moved[-1][n], still.picture)
            else:
                np.testing.assert_array_equal(moved[-1][n], made[n])
        made = [trained._streams[slot].picture for slot, _ in places[-1]]
    assert any(a != b for a, b in zip(places, places[1:], strict=False))


def test_a_step_moves_what_learns(model: Moving, stills: RefinedCodec) -> None:
    trained = task(model, stills)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss = trained.loss(model, tensors(trained.batch(0)))
    torch.autograd.backward(loss.total)
    learn = [p for p in model.parameters() if p.grad is not None]
    torch.optim.Adam(learn, 0.01).step()
    moved = {n for n, tensor in model.state_dict().items() if not torch.equal(before[n], tensor)}
    assert {name.split(".")[0] for name in moved} == {
        *("network", "prior", "quantizer", "rates", "counts")
    }
    for part in ("prior.heads.2.", "prior.heads.3.", "prior.heads.7.", "prior.heads.9."):
        assert any(name.startswith(part) for name in moved), part
    for book in model.quantizer.each():
        assert not book.codebook[0].any()
    assert 0 < float(loss.terms["vector_bits_per_pixel"]) < float(loss.terms["bits_per_pixel"])


def test_a_prior_that_learns_along_has_a_rate_of_its_own(model: Moving) -> None:
    table = load_preset("video")["train"]
    _, config = split({"train": table}, MovingData)
    groups_of = [g for o in optimizers(model, config) for g in o.param_groups]
    every = [id(p) for g in groups_of for p in g["params"]]
    assert sorted(every) == sorted(id(p) for p in model.parameters())
    rates = {id(p): (g["peak"], g["weight_decay"]) for g in groups_of for p in g["params"]}
    assert {rates[id(p)] for p in model.prior.parameters()} == {(0.002, 0.0)}
    assert {rates[id(p)] for p in model.network.parameters()} <= {(0.001, 0.01), (0.0004, 0.01)}


def test_videos_are_read_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pixels in (("a", pan(6, 48, 80)), ("b", pan(2, 16, 64)), ("c", pan(1))):
        (tmp_path / f"{name}.mkv").write_bytes(clip(pixels))
    sources = [Source(tmp_path / f"{name}.mkv", f"{name}.mkv") for name in "abc"]
    clips, skipped = read_clips(sources, DATA)
    assert [own.shape for own in clips] == [(6, 40, 67, 3)]
    assert skipped == ["b.mkv: smaller than 32×32", "c.mkv: a single frame, which nothing follows"]
    monkeypatch.setattr("vqcodec.train.video.groups.CACHE_BYTES", 3 * 3 * 40 * 67 * 3)
    clips, skipped = read_clips(sources[:1] * 3, DATA)
    assert [len(own) for own in clips] == [3] * 3
    assert skipped[0] == "a.mkv: all after its first 3 frames"


def test_train_export_encode_decode(
    refined_weights: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "weights"
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(home))
    home.mkdir()
    for name in ("plain", "refined"):
        (home / name).symlink_to(refined_weights.parent / name)
    data = tmp_path / "data"
    data.mkdir()
    for seed in range(3):
        (data / f"{seed}.mkv").write_bytes(clip(pan(6, seed=seed)))
        Image(picture(80, 90, seed)).save(data / f"{seed}.png")
    train = ("train", "video", data, *SETTINGS, "--on", "refined", "--held-out", data / "2.mkv")
    saved = Loop._save

    def cut(self: Loop) -> None:
        saved(self)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:  # and it goes on where it was cut off
        patch.setattr(Loop, "_save", cut)
        assert run(*train, "-o", "run").returncode != 0
    done = run(*train, "-o", "run")
    assert done.returncode == 0 and b"continuing at step 2" in done.stderr, done.stderr
    assert b"3 videos to train on, 1 to measure on" in done.stderr
    assert b"psnr_at_100" in done.stderr or b"psnr at 100" in done.stderr, done.stderr
    assert b"was finished already" in run(*train, "-o", "run").stdout
    done = run("export", "run", "walks")
    assert done.returncode == 0, done.stderr
    card = (home / "walks/README.md").read_text(encoding="utf-8")
    assert "first frames are pictures of `refined`" in card and "bits per pixel at 100" in card
    done = run("encode", data / "0.mkv", "--model", "walks", "--rate-weight", "50", "-o", "a.vqc")
    assert done.returncode == 0, done.stderr
    codec = VideoCodec.load("walks", "cpu")
    codes = codec.encode(pan(6, seed=0), rate_weight=50.0)
    written = Codes.from_bytes((tmp_path / "a.vqc").read_bytes(), "a.vqc")
    assert all((a == b).all() for a, b in zip(written.grids, codes.grids, strict=True))
    done = run("decode", "a.vqc", "-o", "a.png")
    assert done.returncode == 0, done.stderr
    shown = np.stack([Image.open(path).pixels for path in sorted((tmp_path / "a").glob("*.png"))])
    np.testing.assert_array_equal(shown, codec.decode(codes).pixels)
    again = ("--from", "walks", "--set", "train.seed=1", "-o", "again")
    done = run(*train, *again)
    assert done.returncode == 0, done.stderr


def test_what_does_not_fit(
    model: Moving, stills: RefinedCodec, moving_weights: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.mkv").write_bytes(clip(pan(3)))
    train = ("train", "video", tmp_path / "a.mkv", "-o", "r", *SETTINGS)
    for arguments, code, sentence in (
        (("--on", "plain"), 2, "'plain' is no codec of first frames"),
        (("--on", "moving"), 1, "codes videos alone"),
        (("--on", "refined", "--from", "refined"), 1, "codes pictures alone"),
        (("--on", "refined", "--from", "tiny"), 2, "'tiny' codes no frames by those before"),
        (("--on", "refined", "--set", "model.refiner.width=16"), 2, "'refined' is built otherwise"),
        (("--on", "refined", "--set", "model.refiner.stride=8"), 2, "stride must be 4"),
        (("--on", "refined", "--set", "train.crop_size=30"), 2, "multiple of 8"),
        (("--on", "refined", "--set", "train.crop_size=40"), 1, "smaller than 40×40"),
    ):
        done = run(*train, *arguments)
        words = done.stderr.decode()
        assert (done.returncode, sentence in words) == (code, True), (arguments, words)
        assert "Traceback" not in words
    for command, code, sentence in (
        (("train", "prior", tmp_path / "a.mkv", "--codec", "moving", "-o", "r"), 2, "'plain'"),
        (
            ("sample", "--model", "moving", "-o", "a.gif"),
            1,
            "error: nothing can be drawn with 'moving'",
        ),
        (
            ("imagine", tmp_path / "a.mkv", "--model", "moving", "--given", "2"),
            1,
            "'video-frames' draws frames",
        ),
    ):
        done = run(*command)
        words = done.stderr.decode()
        assert (done.returncode, sentence in words) == (code, True), (command, words)
    with pytest.raises(UsageError, match="and rates"):
        build_moving({"refiner": {}, "encoder": {}})


def test_photographs_are_seen_where_there_are_any(tmp_path: Path) -> None:
    Image(picture(80, 90, 1)).save(tmp_path / "a.png")
    photos = Pictures([Source(tmp_path / "a.png", "a.png")], 80, 32)
    clips, pictures = (
        groups(0.0, photos=photos).batch(0)["x"],
        groups(1.0, photos=photos).batch(0)["x"],
    )
    assert pictures.shape == clips.shape == (2, 3, 32, 32) and (clips != pictures).any()
