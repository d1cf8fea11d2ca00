"""A codec of two index maps, coarse and fine: model, tiles, files, sampling."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vqcodec.codec.image
from tests import twomaps
from tests.helpers import picture
from vqcodec import Codec, Codes, Image
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codingpriors import coding_priors
from vqcodec.errors import FormatError, UsageError, VqcodecError, WeightsError
from vqcodec.evaluate.bits import CODING, SAMPLING, BitMeter
from vqcodec.files import frames, vqc
from vqcodec.files.contents import VideoInfo
from vqcodec.files.header import Header, read_header, write_header
from vqcodec.files.reader import Reader
from vqcodec.maps import MapSpec
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import load_model, load_sampling_prior
from vqcodec.models.priors.integer import from_arrays
from vqcodec.models.vqvae import build
from vqcodec.sampling.image import Sampler
from vqcodec.weights import CONFIG, read_weights

# two maps as version 1 wrote them: 6 indices below 8, and 20 below 7
VERSION_1 = "5651430100616263640374776f02070706030f13053940cb1ef6eb05397029cb814e5092239886"


@pytest.fixture
def codec(paired_weights: Path) -> Codec:
    return Codec.load(paired_weights, device="cpu", precision="fp32")


def pixels(height: int, width: int) -> torch.Tensor:
    return to_signal(torch.from_numpy(picture(height, width).transpose(2, 0, 1)[None].copy()))


def test_the_model_knows_its_maps(codec: Codec) -> None:
    assert codec.maps == (MapSpec(24, (8, 8)), MapSpec(32, (4, 4)))
    assert codec.codebook_sizes == codec.weights.codebook_sizes == (24, 32)
    assert codec.stride == 4


@pytest.mark.parametrize("training", [True, False])
def test_lookup_gives_back_z_q_exactly(paired_weights: Path, training: bool) -> None:
    model = load_model(read_weights(paired_weights)).train(training)
    before = [book.codebook.clone() for book in model.quantizer.codebooks]
    quantized = model.quantizer(model.encoder(pixels(48, 32)))
    for book, codebook in zip(model.quantizer.codebooks, before, strict=True):
        book.codebook.copy_(codebook)  # the update comes after the choice
    assert [tuple(i.shape) for i in quantized.indices] == [(1, 6, 4), (1, 12, 8)]
    assert torch.equal(model.quantizer.lookup(quantized.indices), quantized.z_q)


def test_the_finer_map_follows_what_the_coarser_one_says(paired_weights: Path) -> None:
    model = load_model(read_weights(paired_weights))
    coarse, fine = model.encode(pixels(64, 64))
    top = model.quantizer.codebooks[0]
    top.codebook.copy_(top.codebook.flip(0))  # the same vectors under other indices
    flipped, same = model.encode(pixels(64, 64))
    assert torch.equal(flipped, len(top.codebook) - 1 - coarse) and torch.equal(same, fine)
    top.codebook.neg_()
    _, changed = model.encode(pixels(64, 64))
    assert (changed != fine).float().mean() > 0.2


def test_parts_that_do_not_fit_are_refused() -> None:
    twomaps.install()
    table = twomaps.config()["model"]
    alone = {"kind": "vq", "codebook_size": 32, "dim": 4}
    with pytest.raises(UsageError, match="does not take 2 grids"):
        build({**table, "quantizer": alone})
    decoder = {**table["decoder"], "widths": [8], "blocks": [0]}
    with pytest.raises(UsageError, match="same stride"):
        build({**table, "decoder": decoder})


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (83, 2), (64, 64), (131, 97), (36, 100)])
def test_tiles_give_what_one_pass_gives(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    image = Image(picture(*size))
    whole = codec.encode(image)
    assert [g.shape for g in whole.grids] == [spec.shape(size) for spec in codec.maps]
    decoded = codec.decode(whole)
    assert decoded.size == size
    around = max(codec.engine.encoder_halo, codec.engine.decoder_halo)
    monkeypatch.setattr(vqcodec.codec.image, "WINDOW", 2 * (2 * around + 2))
    assert len(codec._tiles((128, 128), around)) > 1
    tiled = codec.encode(image)
    for a, b in zip(whole.grids, tiled.grids, strict=True):
        assert np.mean(a == b) >= 0.999  # the rest are ties that floating point breaks either way
    again = codec.decode(whole)
    assert np.abs(again.pixels.astype(int) - decoded.pixels).max() <= 1


def test_a_smaller_halo_would_not_do(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(picture(131, 97))
    whole = codec.encode(image, tinted=False)
    decoded = codec.decode(whole).pixels.astype(int)
    monkeypatch.setattr(vqcodec.codec.image, "WINDOW", 16)
    monkeypatch.setattr(codec.engine, "encoder_halo", 0)
    monkeypatch.setattr(codec.engine, "decoder_halo", 0)
    assert (codec.encode(image).grids[0] != whole.grids[0]).any()
    assert np.abs(codec.decode(whole).pixels - decoded).max() > 1


def test_whole_equals_the_network_alone(codec: Codec) -> None:
    with torch.no_grad():
        expected = codec.model.encode(pixels(32, 48))
    for grid, indices in zip(codec.encode(Image(picture(32, 48))).grids, expected, strict=True):
        np.testing.assert_array_equal(grid, indices[0].numpy())
        assert len(np.unique(grid)) > 4


@pytest.mark.parametrize("size", [(32, 32), (30, 41)])
def test_batches_equal_single_pictures(codec: Codec, size: tuple[int, int]) -> None:
    stack = np.stack([picture(*size, seed=s) for s in range(5)])
    maps = codec.encode_batch(stack)
    assert [m.shape for m in maps] == [(5, *spec.shape(size)) for spec in codec.maps]
    for number, one in enumerate(stack):
        for grid, many in zip(codec.encode(Image(one)).grids, maps, strict=True):
            assert np.mean(grid == many[number]) > 0.99
    decoded = codec.decode_batch(maps)
    assert decoded.shape == (5, *codec.maps[1].covers(maps[1].shape[1:]), 3)
    codes = replace(codec.encode(Image(stack[2]), tinted=False), grids=tuple(m[2] for m in maps))
    single = codec.decode(codes).pixels
    assert np.abs(decoded[2, : size[0], : size[1]].astype(int) - single).max() <= 1


def test_maps_that_do_not_belong_together_are_refused(codec: Codec) -> None:
    coarse, fine = codec.encode_batch(np.stack([picture(32, 32)]))
    with pytest.raises(UsageError, match="of shapes"):
        codec.decode_batch((coarse[:, 1:], fine))
    with pytest.raises(UsageError, match="tuple of arrays"):
        codec.decode_batch((fine,))
    codes = codec.encode(Image(picture(32, 32)))
    with pytest.raises(FormatError, match="does not fit"):
        codec.decode(replace(codes, grids=(codes.grids[0][1:], codes.grids[1])))
    with pytest.raises(UsageError, match="several maps"):
        codec.encode(Image(picture(32, 32)), effort=1)


def skewed(codec: Codec, height: int, width: int) -> Codes:
    """Codes whose small indices are the frequent ones, as the coding priors expect."""
    codes = codec.encode(Image(picture(height, width)))
    rng = np.random.default_rng(0)
    grids = tuple(
        np.minimum(rng.geometric(0.3, g.shape) - 1, k - 1).astype(np.uint16)
        for g, k in zip(codes.grids, codes.codebook_sizes, strict=True)
    )
    return replace(codes, grids=grids)


def test_each_map_is_range_coded_by_its_own_prior(codec: Codec) -> None:
    codes = skewed(codec, 90, 131)
    coded, packed = codes.to_bytes(".vqc"), codes.to_bytes(".vqc", prior=False)
    assert len(coded) < len(packed)
    assert vqc.is_coded(coded) and not vqc.is_coded(packed)
    header = read_header(Reader(coded))
    assert header.version == read_header(Reader(packed)).version == 2
    identities = [prior.identity for prior in coding_priors(codec.weights)]
    assert list(header.prior_ids) == identities and identities[0] != identities[1]
    for data in (coded, packed, codes.to_bytes(".npz")):
        assert Codes.from_bytes(data, "x") == codes
    # a map that its prior would make larger is packed, the other one is not
    codes.grids[0][:] = 23
    mixed = codes.to_bytes(".vqc")
    assert read_header(Reader(mixed)).prior_ids == (None, identities[1])
    assert Codes.from_bytes(mixed, "x") == codes


def test_what_lies_before_the_end_of_a_map_does_not_depend_on_finer_ones(codec: Codec) -> None:
    codes = skewed(codec, 64, 64)
    other = replace(codes, grids=(codes.grids[0], codes.grids[1][::-1].copy()))
    for prior in (True, False):
        a, b = (c.to_bytes(".vqc", prior=prior) for c in (codes, other))
        read = Reader(a)
        header = read_header(read)
        payload = 8 * 8 * 5 // 8
        if prior:
            payload = read.varint()
            assert payload < 8 * 8 * 5 // 8
        end = read.position + payload + frames.CRC_BYTES
        assert a[:end] == b[:end] and a[end:] != b[end:]
        assert header.shapes == [(8, 8), (16, 16)]


def test_every_bit_matters_and_no_cut_goes_unnoticed(codec: Codec) -> None:
    codes = skewed(codec, 24, 20)
    for prior in (True, False):
        data = codes.to_bytes(".vqc", prior=prior)
        assert vqc.is_coded(data) == prior
        for position in range(8 * len(data)):
            changed = bytearray(data)
            changed[position // 8] ^= 1 << position % 8
            with pytest.raises(VqcodecError):
                Codes.from_bytes(bytes(changed), "flipped")
        (coarse, _), start = vqc.map_bytes(data), len(data) - sum(vqc.map_bytes(data))
        for length in range(len(data)):
            if length == start + coarse:  # where a map ends a file may
                assert Codes.from_bytes(data[:length], "cut") == codes.first(1)
                continue
            with pytest.raises(FormatError):
                Codes.from_bytes(data[:length], "cut")
        for extra in (b"\0", b"\xff" * 9):
            with pytest.raises(FormatError):
                Codes.from_bytes(data + extra, "longer")


def test_version_1_of_several_maps_is_still_read() -> None:
    codes = Codes.from_bytes(bytes.fromhex(VERSION_1), "old.vqc")
    assert (codes.model, codes.codebook_sizes, codes.media.size) == ("two", (8, 7), (16, 20))
    np.testing.assert_array_equal(codes.grids[0], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(codes.grids[1], np.arange(20).reshape(4, 5) % 7)
    again = codes.to_bytes(".vqc")
    assert again[3] == 2 and Codes.from_bytes(again, "new.vqc") == codes


def test_version_2_is_not_for_what_version_1_can_say(codec: Codec) -> None:
    one = replace(skewed(codec, 24, 20), grids=(np.ones((6, 5), np.uint16),), codebook_sizes=(32,))
    data = bytearray(one.to_bytes(".vqc", prior=False))
    assert data[3] == 1
    place = data.index(b"\x01\x1f\x03") + 3  # one map of 32 codes at stride 4
    data[3:4], data[place:place] = b"\x02", b"\x00"
    with pytest.raises(FormatError, match="without need"):
        Codes.from_bytes(bytes(data), "x.vqc")


@pytest.mark.parametrize("shape", [(3, 20, 30), (1, 300, 9)])
def test_pictures_of_a_video_are_coded_one_by_one(codec: Codec, shape: tuple[int, ...]) -> None:
    prior = coding_priors(codec.weights)[1]
    grid = np.minimum(np.random.default_rng(0).geometric(0.3, shape) - 1, 31).astype(np.uint16)
    size = (shape[0], 4 * shape[1], 4 * shape[2])
    media = VideoInfo(size, size, (30_000, 1001))
    codes = Codes((grid,), (32,), "thw", "paired", codec.weights.codebook_id, media)
    coded, packed = vqc.dump(codes, (prior,)), vqc.dump(codes)
    assert (coded[3], packed[3]) == (3, 3) and len(coded) < len(packed)
    for data in (coded, packed):
        assert vqc.load(data, lambda *_: prior) == codes


def test_a_few_bytes_cannot_claim_many_blocks(codec: Codec) -> None:
    """Each picture of a video is a block; a list of 16 million would take gigabytes."""
    prior = coding_priors(codec.weights)[1]
    size = (1 << 24, 1, 1)
    spec, identity = MapSpec(32, (1, 1, 1)), codec.weights.codebook_id
    media = VideoInfo(size, size)
    header = Header("thw", "paired", identity, (spec,), media, (prior.identity,))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="too short for its indices"):
            vqc.load(write_header(header) + bytes(1000), lambda *_: prior)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_coding_priors_must_be_those_of_the_maps(
    codec: Codec, paired_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from tests.helpers import add_coding_prior

    data = skewed(codec, 64, 64).to_bytes(".vqc")
    folder = tmp_path / "paired"
    shutil.copytree(paired_weights, folder)
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    add_coding_prior(folder, twomaps.SIZES, seed=1)  # that of the coarse map was of the fine one
    with pytest.raises(WeightsError, match="needs the coding prior"):
        Codes.from_bytes(data, "x.vqc")
    for sizes in ((32, 24), (24,), (24, 32, 32)):
        add_coding_prior(folder, sizes)
        with pytest.raises(WeightsError, match="not a coding prior of these weights"):
            coding_priors(read_weights(folder))


def test_maps_in_the_config_must_be_those_of_the_model(
    paired_weights: Path, tmp_path: Path
) -> None:
    import json
    import shutil

    folder = tmp_path / "paired"
    shutil.copytree(paired_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    assert config["maps"][0] == {"codebook_size": 24, "stride": [8, 8]}
    config["maps"][0]["codebook_size"] = 25
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(WeightsError, match="its maps are not those"):
        Codec.load(folder)
    config["maps"][0]["codebook_size"] = 0
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(WeightsError, match="valid codebook size"):
        Codec.load(folder)


def test_new_pictures_are_drawn_map_by_map(paired_weights: Path) -> None:
    sampler = Sampler.load(paired_weights, "cpu", "fp32")
    few = sampler.sample(2, (30, 41), SamplingParams(seed=3))
    many = sampler.sample(5, (30, 41), SamplingParams(seed=3))
    assert [p.size for p in many] == [(30, 41)] * 5
    for a, b in zip(few, many, strict=False):
        assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 1
    assert not np.array_equal(many[0].pixels, many[1].pixels)


def test_completion_keeps_the_same_rows_of_both_maps(
    paired_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler.load(paired_weights, "cpu", "fp32")
    image = Image(picture(52, 40))
    codes = sampler.codec.encode(image)
    seen: list[Codes] = []
    decode = Codec.decode

    def remember(self: Codec, codes: Codes) -> Image:
        seen.append(codes)
        return decode(self, codes)

    monkeypatch.setattr(Codec, "decode", remember)
    completed = sampler.complete(image, keep=0.5, params=SamplingParams(seed=1))
    assert completed.size == (52, 40)
    (coarse, fine), (known, finer) = seen[0].grids, codes.grids
    assert coarse.shape == (7, 5) and fine.shape == (13, 10)
    np.testing.assert_array_equal(coarse[:4], known[:4])  # round(7 / 2)
    np.testing.assert_array_equal(fine[:8], finer[:8])
    assert (coarse[4:] != known[4:]).mean() > 0.5 and (fine[8:] != finer[8:]).mean() > 0.5


def test_priors_of_several_maps_say_what_each_says_of_its_own(codec: Codec) -> None:
    codes = codec.encode(Image(picture(48, 48)))
    maps = tuple(torch.from_numpy(g.astype(np.int64))[None] for g in codes.grids)
    prior = load_sampling_prior(codec.weights)
    assert [tuple(s.shape) for s in prior(maps)] == [(1, 6, 6, 24), (1, 12, 12, 32)]
    alone = [p.log_prob((g,)) for p, g in zip(prior.each(), maps, strict=True)]
    torch.testing.assert_close(prior.log_prob(maps), alone[0] + alone[1])
    bits = BitMeter(codec).measure(codes)
    assert bits[SAMPLING] == pytest.approx((-float(alone[0] + alone[1]) / np.log(2),), rel=1e-5)
    pairs = zip(coding_priors(codec.weights), codes.grids, strict=True)
    assert bits[CODING] == pytest.approx([p.bits([g]).sum() for p, g in pairs], rel=1e-6)
    floating = from_arrays(coding_priors(codec.weights)[0].arrays)
    assert floating.codebook_sizes == (24,)
