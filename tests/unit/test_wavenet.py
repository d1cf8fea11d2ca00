"""WaveNet: what its density sees and sums to, and that every way to draw from it is the same."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vqcodec
from vqcodec.config import load_preset, parse
from vqcodec.models.decoders.wavenet import Config, WaveNet
from vqcodec.models.generation import chunks, loop
from vqcodec.models.generation.batched import BatchedLoop
from vqcodec.models.generation.chunks import Chunks, generate
from vqcodec.models.nn import mulaw
from vqcodec.models.nn.emphasis import deemphasize, emphasize
from vqcodec.models.nn.pqmf import Pqmf

TINY = Config(
    dim=3,
    stride=16,
    cond_dim=2,
    width=8,
    blocks=1,
    frames=2,
    layers=4,
    cycle=3,
    residual=8,
    skip=8,
    hidden=8,
)
CELLS = 10
BANDS = pytest.mark.parametrize("bands", [1, 4])


def make(bands: int, config: Config = TINY) -> WaveNet:
    """A small network that listens to all it is given."""
    torch.manual_seed(0)
    decoder = replace(config, bands=bands).build().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder


def inputs(bands: int, batch: int = 1) -> tuple[torch.Tensor, ...]:
    """Levels (B, L, bands), codes (B, 3, CELLS) and speakers (B, 2)."""
    generator = torch.Generator().manual_seed(1)
    steps = CELLS * TINY.stride // bands
    levels = torch.randint(256, (batch, steps, bands), generator=generator)
    z_q = torch.randn(batch, TINY.dim, CELLS, generator=generator)
    return levels, z_q, torch.randn(batch, TINY.cond_dim, generator=generator)


@BANDS
def test_logits_see_what_was_before_them_only(bands: int) -> None:
    decoder = make(bands)
    levels, z_q, cond = inputs(bands)
    before = decoder(levels, levels, z_q, cond)
    for step, band in product((0, 17, levels.shape[1] - 1), range(bands)):
        changed = levels.clone()
        changed[0, step, band] = (changed[0, step, band] + 90) % 256
        after = decoder(changed, changed, z_q, cond)
        order = (before != after).any(3)[0]
        position = step * bands + band
        assert not order.flatten()[: position + 1].any()
        assert order[step, band + 1 :].all()  # later bands of the same step
        assert order[step + 1 : step + 2].all()  # and the next step


@BANDS
def test_logits_depend_on_codes_around_and_on_the_speaker(bands: int) -> None:
    decoder = make(bands)
    levels, z_q, cond = inputs(bands)
    before = decoder(levels, levels, z_q, cond)
    assert (decoder(levels, levels, z_q, cond + 1) != before).any(3).all()
    z_q[:, :, 7] += 1
    changed = (decoder(levels, levels, z_q, cond) != before).any(3)[0].any(1)
    first = (7 - decoder.halo) * TINY.stride // bands
    assert not changed[:first].any() and changed[first] and changed[-1]


def test_reach_of_memory() -> None:
    decoder = make(1)
    levels, z_q, cond = inputs(1)
    before = decoder(levels, levels, z_q, cond)
    levels[0, 20] = 255 - levels[0, 20]
    changed = (decoder(levels, levels, z_q, cond) != before).any(3).flatten().nonzero().flatten()
    assert (int(changed[0]), int(changed[-1])) == (21, 20 + decoder.memory)


def test_probabilities_sum_to_one() -> None:
    decoder = make(4, replace(TINY, emphasis=0.0))
    _, z_q, cond = inputs(4)
    z_q = z_q[:, :, :1]
    total = 0.0
    start = torch.randint(256, (1, 4, 4), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        for band in range(4):  # every value of one variable, the earlier ones fixed
            every = start.repeat(256, 1, 1)
            every[:, 2, band] = torch.arange(256)
            logits = decoder(every, every, z_q.expand(256, -1, -1), cond.expand(256, -1))
            chances = logits[:, 2, band].double().softmax(1)
            total = float(chances.diagonal().sum())
            assert total == pytest.approx(1)


@BANDS
def test_log_prob_is_that_of_the_levels(bands: int) -> None:
    decoder = make(bands)
    _, z_q, cond = inputs(bands, batch=2)
    x = torch.rand(2, 1, CELLS * TINY.stride, generator=torch.Generator().manual_seed(3)) - 0.5
    with torch.inference_mode():
        levels = decoder.levels(x)
        logits = decoder(levels, levels, z_q, cond).double()
        expected = logits.log_softmax(3).gather(3, levels[..., None]).sum((1, 2, 3))
        found = decoder.log_prob(x, z_q, cond)
        torch.testing.assert_close(found.double(), expected)
        loss = float(decoder.loss(x, z_q, cond))
    assert loss == pytest.approx(-float(expected.mean()) / x[0].numel(), rel=1e-5)


def test_noise_is_for_training_only() -> None:
    decoder = make(1, replace(TINY, noise=20.0))
    _, z_q, cond = inputs(1)
    x = torch.zeros(1, 1, CELLS * TINY.stride)
    assert decoder.loss(x, z_q, cond) == decoder.loss(x, z_q, cond)
    decoder.train()
    assert decoder.loss(x, z_q, cond) != decoder.loss(x, z_q, cond)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@BANDS
def test_a_gpu_draws_the_same_samples(bands: int) -> None:
    decoder = make(bands)
    _, z_q, cond = inputs(bands, batch=2)
    uniforms = torch.rand(2, CELLS * TINY.stride // bands, bands)
    with torch.inference_mode():
        conditioning = decoder.conditioning(z_q, cond)
        own = BatchedLoop(decoder.network(), conditioning, uniforms, 0.9).run()
        there = BatchedLoop(decoder.network(), conditioning.cuda(), uniforms.cuda(), 0.9).run()
    assert torch.equal(there.cpu(), own)


@BANDS
def test_every_way_to_draw_gives_the_same_samples(bands: int) -> None:
    decoder = make(bands)
    _, z_q, cond = inputs(bands, batch=2)
    uniforms = np.random.default_rng(4).random((2, CELLS * TINY.stride // bands, bands), np.float32)
    with torch.inference_mode():
        conditioning = decoder.conditioning(z_q, cond)
        batched = BatchedLoop(decoder.network(), conditioning, torch.from_numpy(uniforms), 0.9)
        found = batched.run()
        full = decoder(found, found, z_q, cond)
    for row in range(2):
        frames = conditioning[row].numpy()
        levels, logits = loop.generate(decoder.network(), frames, uniforms[row], 0.9)
        np.testing.assert_array_equal(levels, found[row])
        np.testing.assert_allclose(logits, batched.logits[row], atol=1e-4)
        np.testing.assert_allclose(logits, full[row, -1], atol=1e-4)
    # by the definition, from the full pass alone
    total = (full.double() / 0.9).softmax(3).cumsum(3)
    expected = (total <= torch.from_numpy(uniforms)[..., None]).sum(3)
    assert torch.equal(found, expected)


def test_compiled_loop_is_the_plain_one(tmp_path: Path) -> None:
    decoder = make(4)
    network = decoder.network()
    _, z_q, cond = inputs(4)
    with torch.inference_mode():
        conditioning = decoder.conditioning(z_q, cond)[0, :4].numpy()
    uniforms = np.random.default_rng(5).random((16, 4), np.float32)
    np.savez(tmp_path / "in.npz", *network, conditioning=conditioning, uniforms=uniforms)
    plain = """
import sys, numpy as np
from vqcodec.models.generation import loop
from vqcodec.models.generation.network import Network
assert "torch" not in sys.modules and not hasattr(loop._run, "py_func")
a = np.load("in.npz")
network = Network(*(a[f"arr_{i}"] for i in range(len(Network._fields))))
levels, logits = loop.generate(network, a["conditioning"], a["uniforms"])
np.savez("out.npz", levels=levels, logits=logits)
"""
    path = str(Path(vqcodec.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", plain],
        cwd=tmp_path,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path},
        check=True,
    )
    out = np.load(tmp_path / "out.npz")
    levels, logits = loop.generate(network, conditioning, uniforms)
    np.testing.assert_array_equal(levels, out["levels"])
    np.testing.assert_allclose(logits, out["logits"], atol=1e-4)


def test_draws_follow_the_distribution() -> None:
    """A network whose logits are its last bias alone draws from their softmax."""
    decoder = make(1)
    for parameter in decoder.parameters():
        torch.nn.init.zeros_(parameter)
    shape = torch.linspace(-12, 12, 256)
    decoder.out_bias.data[0] = -shape.square() / 8
    chances = torch.softmax(decoder.out_bias[0].detach().double() / 0.5, 0).numpy()
    steps = 40000
    uniforms = ((np.arange(steps) + 0.5) / steps).astype(np.float32)[:, None]
    frames = np.zeros((1, TINY.layers, 2 * TINY.residual), np.float32)
    levels, _ = loop.generate(decoder.network(), frames, uniforms, 0.5)
    counts = np.bincount(levels[:, 0], minlength=256)
    np.testing.assert_allclose(counts, steps * chances, atol=1.5)


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 12 * TINY.stride)
    monkeypatch.setattr(chunks, "FADE", 2 * TINY.stride)
    monkeypatch.setattr(chunks, "WARM_UP", 4 * TINY.stride)


@pytest.mark.usefixtures("short_chunks")
@BANDS
def test_output_depends_on_codes_and_seed_alone(bands: int) -> None:
    decoder = make(bands)
    generator = torch.Generator().manual_seed(6)
    z_q = torch.randn(TINY.dim, 41, generator=generator)
    cond = torch.randn(TINY.cond_dim, generator=generator)
    whole = generate(decoder, z_q, cond, seed=3)
    assert whole.shape == (41 * TINY.stride,) and whole.dtype == np.float32
    assert np.abs(whole).max() <= 1
    np.testing.assert_array_equal(generate(decoder, z_q, cond, seed=3, threads=3), whole)
    assert not np.array_equal(generate(decoder, z_q, cond, seed=4), whole)
    # what comes later, beyond what the conditioning sees, changes nothing before
    start = generate(decoder, z_q[:, :30], cond, seed=3)
    end = (30 - decoder.halo - 2) * TINY.stride
    np.testing.assert_array_equal(start[:end], whole[:end])
    assert generate(decoder, z_q[:, :0], cond).shape == (0,)


@pytest.mark.usefixtures("short_chunks")
@BANDS
def test_batches_of_chunks_give_the_same_signal(
    bands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU does, on a CPU."""
    decoder = make(bands)
    together = Chunks(decoder, seed=1)
    cells = 2 * together.halo + together.window
    z_q = torch.randn(2, 2, TINY.dim, cells, generator=torch.Generator().manual_seed(7))
    apart = Chunks(decoder, seed=1)
    monkeypatch.setattr(together, "_one_by_one", together._in_step)
    assert not np.array_equal(together(z_q, 0)[:, 0], together(z_q, 0)[:, 1])  # two channels
    expected = np.concatenate([apart(chunk[None], i) for i, chunk in enumerate(z_q)])
    np.testing.assert_array_equal(together(z_q, 0), expected)


@pytest.mark.usefixtures("short_chunks")
@BANDS
def test_no_joints_can_be_measured(bands: int) -> None:
    decoder = make(bands)
    decoder.out_bias.data -= (torch.arange(256) - mulaw.SILENCE).abs() / 40  # so that little clips
    z_q = torch.randn(TINY.dim, 200 * 12, generator=torch.Generator().manual_seed(8))
    signal = generate(decoder, z_q, seed=1).astype(np.float64)
    fade, period = 2 * TINY.stride, 12 * TINY.stride
    for series in (np.abs(np.diff(signal, append=0)), np.abs(signal)):
        means = series.reshape(-1, period).mean(0)
        joints, inside = means[:fade], means[fade:]
        assert joints.mean() == pytest.approx(inside.mean(), rel=0.1)
        assert abs(joints - inside.mean()).max() < 4 * inside.std()


def test_fades_keep_the_power() -> None:
    time = np.arange(4000, dtype=np.float32)
    old, new = (np.float32(0.5) * wave(time) for wave in (np.sin, np.cos))
    np.testing.assert_allclose(chunks._blend(old, old), old, atol=1e-6)
    blended = chunks._blend(old, new)  # as unlike as can be
    powers = np.square(blended).reshape(10, -1).mean(1)
    np.testing.assert_allclose(powers, 0.125, rtol=0.02)
    np.testing.assert_allclose(blended[:9], old[:9], atol=0.01)
    np.testing.assert_allclose(blended[-9:], new[-9:], atol=0.01)
    assert not chunks._blend(0 * old, 0 * old).any()


def test_reconstruct_draws_from_the_generator() -> None:
    decoder = make(4)
    _, z_q, cond = inputs(4, batch=2)
    first, again, other = (
        decoder.reconstruct(z_q, cond, generator=torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    )
    assert first.shape == (2, 1, CELLS * TINY.stride)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_bands_come_back() -> None:
    filters = Pqmf()
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(9))
    bands = filters.split(x)
    assert bands.shape == (2, 4, 1000)
    error = (filters.join(bands) - x)[..., 64:-64]
    assert 10 * math.log10(x.square().mean() / error.square().mean()) > 40
    for band, hertz in enumerate((1000, 3000, 5000, 7000)):  # at 16 kHz, the middle of each band
        tone = torch.sin(torch.arange(4000) * 2 * math.pi * hertz / 16000)[None, None]
        power = filters.split(tone)[0, :, 50:-50].square().mean(1)
        assert power.argmax() == band and power[band] > 0.99 * power.sum()


@BANDS
def test_levels_are_exact_in_training_with_bfloat16(bands: int) -> None:
    decoder = make(bands)
    x = torch.rand(1, 1, 960, generator=torch.Generator().manual_seed(11)) - 0.5
    with torch.autocast("cpu", torch.bfloat16):
        levels = decoder.levels(x)
    assert torch.equal(levels, decoder.levels(x))


def test_levels_and_emphasis_come_back() -> None:
    levels = torch.arange(256)
    samples = mulaw.to_samples(levels)
    assert torch.equal(mulaw.to_levels(samples), levels)
    assert samples[mulaw.SILENCE] == 0 and mulaw.to_levels(torch.zeros(1)) == mulaw.SILENCE
    assert mulaw.to_levels(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]
    x = torch.rand(1, 1, 3000, generator=torch.Generator().manual_seed(10))
    torch.testing.assert_close(deemphasize(emphasize(x, 0.85), 0.85), x, atol=1e-5, rtol=0)


@BANDS
def test_signals_come_back_from_levels(bands: int) -> None:
    decoder = make(bands)
    time = torch.arange(TINY.stride * 100)
    x = 0.3 * torch.sin(time * 0.05)[None, None] + 0.1 * torch.sin(time * 1.3)[None, None]
    error = (decoder.signal(decoder.levels(x)) - x)[..., 64:-64]
    assert 10 * math.log10(x.square().mean() / error.square().mean()) > 25


def test_without_codes_only_the_speaker_is_heard() -> None:
    levels, z_q, cond = inputs(4)
    alone = make(4, replace(TINY, codes=False))
    with torch.inference_mode():
        logits = alone(levels, levels, z_q, cond)
        torch.testing.assert_close(alone(levels, levels, -z_q, cond), logits, rtol=0, atol=0)
        assert (alone(levels, levels, z_q, -cond) - logits).abs().max() > 0.01
        assert (make(4)(levels, levels, z_q, cond) - logits).abs().max() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bands": 2}, "bands"), ({"residual": 6}, "multiple"), ({"stride": 5}, "divide")],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_the_preset_without_codes_differs_in_what_it_hears_only() -> None:
    bands, alone = (load_preset(f"wavenet-{name}") for name in ("bands", "alone"))
    assert alone["decoder"].pop("codes") is False
    for table in (bands["decoder"], alone["decoder"]):
        del table["width"], table["blocks"]
    assert alone == bands


@pytest.mark.parametrize("name", ["wavenet-full", "wavenet-bands", "wavenet-alone"])
def test_presets_build(name: str) -> None:
    preset = load_preset(name)
    table = dict(preset["decoder"])
    assert table.pop("kind") == "wavenet"
    config = parse(Config, table, "decoder")
    decoder = config.build()
    assert config.min_parameters <= sum(p.numel() for p in decoder.parameters())
    network = decoder.network()
    loop_bytes = sum(a.nbytes for a in (network.gate, network.mix, network.skip, network.hidden))
    assert loop_bytes + network.out.nbytes < 2 << 20
