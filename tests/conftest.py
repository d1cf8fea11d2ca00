"""Fixtures: a tiny model with random weights, on disk like any other, and synthetic pictures."""

import dataclasses
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests import twomaps
from tests.helpers import (
    TINY_PRIOR,
    Run,
    add_coding_prior,
    frames_prior,
    lattice_prior,
    lively,
    lively_speech,
    picture,
    tiny_config,
    tiny_refining,
    tiny_speech_config,
    tiny_wavenet,
)
from vqcodec.cli import main
from vqcodec.codec.graphs import add_graphs
from vqcodec.codec.unseen import PLAIN_CODES
from vqcodec.framepriors import FRAME_PRIOR
from vqcodec.media.image import Image
from vqcodec.models.decoders.wavenet import WaveNet
from vqcodec.models.fixedpoint import to_arrays
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.plain import find_plain_codes
from vqcodec.models.pretrained import (
    coding_bytes,
    prior_bytes,
    tensor_bytes,
    write_part,
    write_weights,
)
from vqcodec.models.priors import causal
from vqcodec.models.refiningweights import write_refining
from vqcodec.models.vqvae import VQVAE, build, build_decoder, build_prior
from vqcodec.weights import (
    CODEBOOKS,
    CONFIG,
    MODEL,
    WAVENET,
    WAVENET_ALONE,
    codebook_id,
    read_weights,
)

torch.set_num_threads(1)  # the models are tiny, and threads that wait for each other are slow


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="Write the golden files anew."
    )


@pytest.fixture(scope="session")
def tiny_model() -> VQVAE:
    torch.manual_seed(0)
    return lively(build(tiny_config()["model"]))


@pytest.fixture(scope="session")
def tiny_weights(tiny_model: VQVAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights named `tiny`, in a folder that VQCODEC_WEIGHTS may name."""
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    folder.mkdir()
    config = {"name": "tiny", "modality": "image", "model": tiny_config()["model"]}
    write_weights(folder, config, tiny_model)
    return folder


@pytest.fixture(scope="session")
def spoken_weights(tiny_weights: Path) -> Path:
    """Weights for speech named `spoken`, beside `tiny`."""
    folder = tiny_weights.parent / "spoken"
    folder.mkdir()
    torch.manual_seed(0)
    model = lively_speech(build(tiny_speech_config()["model"]))
    config = {"name": "spoken", "modality": "audio", "model": tiny_speech_config()["model"]}
    write_weights(folder, config, model)
    return folder


@pytest.fixture(scope="session")
def drawn_weights(spoken_weights: Path) -> Path:
    """The model of `spoken` as `drawn`, with a WaveNet."""
    folder = spoken_weights.parent / "drawn"
    shutil.copytree(spoken_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "drawn"}), encoding="utf-8")
    table, weights = tiny_wavenet(), read_weights(folder)
    torch.manual_seed(1)
    data = tensor_bytes(build_decoder(table))
    table = {"codebook_id": weights.codebook_id.hex(), "decoder": table}
    write_part(weights, table, WAVENET, data, force=False)
    return folder


@pytest.fixture(scope="session")
def named_weights(drawn_weights: Path) -> Path:
    """The model of `drawn` as `named`, with two speakers; of one it knows the pitch."""
    folder = drawn_weights.parent / "named"
    shutil.copytree(drawn_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    about = {"corpus": "made up", "licence": "CC0", "minutes": 1.5, "consent": "Nobody to ask."}
    speakers = {
        "ann": {"gender": "F", **about, "vector": [90, -70, 127, -128]},
        "Bob-2": {"gender": "M", **about, "pitch": 101.5, "vector": [-100, 60, -90, 80]},
    }
    text = json.dumps({**config, "name": "named", "speakers": speakers})
    (folder / CONFIG).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def babbling_weights(named_weights: Path) -> Path:
    """The model of `named` as `babbling`, with a prior on codes and a WaveNet without any.

    Both say more than nothing.
    """
    folder = named_weights.parent / "babbling"
    shutil.copytree(named_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "babbling"}), encoding="utf-8")
    identity = read_weights(folder).codebook_id.hex()
    torch.manual_seed(3)
    prior = build_prior(TINY_PRIOR)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    name, data = prior_bytes(prior)
    table = {"codebook_id": identity, "prior": TINY_PRIOR}
    write_part(read_weights(folder), table, name, data, force=False)
    alone = {**tiny_wavenet(), "codes": False}
    decoder = build_decoder(alone)
    assert isinstance(decoder, WaveNet)
    decoder.out_bias.data -= 0.1 * (torch.arange(256) - 128).abs()  # or all of it is clipped
    data = tensor_bytes(decoder)
    table = {"codebook_id": identity, "decoder": alone}
    write_part(read_weights(folder), table, WAVENET_ALONE, data, force=False)
    return folder


@pytest.fixture(scope="session")
def graphed_weights(spoken_weights: Path) -> tuple[Path, Path]:
    """The models of `tiny` and `spoken` as `quick` and `fluent`, with graphs."""
    pytest.importorskip("onnxscript")
    folders = []
    for old, new in (("tiny", "quick"), ("spoken", "fluent")):
        folders.append(spoken_weights.parent / new)
        shutil.copytree(spoken_weights.parent / old, folders[-1])
        config = json.loads((folders[-1] / CONFIG).read_text(encoding="utf-8"))
        (folders[-1] / CONFIG).write_text(json.dumps({**config, "name": new}), encoding="utf-8")
        add_graphs(read_weights(folders[-1]))
    return folders[0], folders[1]


@pytest.fixture(scope="session")
def coded_weights(tiny_weights: Path) -> Path:
    """The model of `tiny` as `coded`, with a coding prior."""
    folder = tiny_weights.parent / "coded"
    shutil.copytree(tiny_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "coded"}), encoding="utf-8")
    add_coding_prior(folder, 32)
    return folder


@pytest.fixture(scope="session")
def paired_weights(tiny_weights: Path) -> Path:
    """Weights of two index maps named `paired`, beside `tiny`, with coding and sampling priors."""
    twomaps.install()
    folder = tiny_weights.parent / "paired"
    folder.mkdir()
    torch.manual_seed(0)
    table = twomaps.config()["model"]
    model = lively(build(table))
    pictures = np.stack([picture(64, 64, seed=i) for i in range(4)]).transpose(0, 3, 1, 2)
    features = model.encoder(to_signal(torch.from_numpy(pictures)))
    for level, book in enumerate(model.quantizer.codebooks):  # so that all codes are used
        book.initialize(model.quantizer(features).latents[level], seed=0)
    write_weights(folder, {"name": "paired", "modality": "image", "model": table}, model)
    add_coding_prior(folder, twomaps.SIZES)
    prior = build_prior(twomaps.prior_table())
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    name, data = prior_bytes(prior)
    identity = read_weights(folder).codebook_id.hex()
    part = {"codebook_id": identity, "prior": twomaps.prior_table()}
    write_part(read_weights(folder), part, name, data, force=False)
    return folder


@pytest.fixture(scope="session")
def latticed_weights(paired_weights: Path) -> Path:
    """The model of `paired` as `latticed`, with a coding prior of both maps together."""
    folder = paired_weights.parent / "latticed"
    shutil.copytree(paired_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "latticed"}), encoding="utf-8")
    weights = read_weights(folder)
    name, data = prior_bytes(lattice_prior(twomaps.SIZES, (1, 2), conditions=3, slope=0.3))
    write_part(weights, {"codebook_id": weights.codebook_id.hex()}, name, data, force=True)
    return folder


@pytest.fixture(scope="session")
def refined_weights(tiny_weights: Path, tiny_model: VQVAE) -> Path:
    """Weights named `refined` that refine `plain`: the model of `tiny` with a causal prior."""
    folder = tiny_weights.parent / "plain"
    shutil.copytree(tiny_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "plain"}), encoding="utf-8")
    torch.manual_seed(2)
    prior = causal.Config(32, units=8, inner=8, blocks=1, embedding=4).build()
    with torch.no_grad():
        prior.head.weight.mul_(8)  # it expects something
    plain, part = read_weights(folder), prior_bytes(prior)
    codes = find_plain_codes(part[1], plain.codebook_sizes)
    table = {"codebook_id": plain.codebook_id.hex(), PLAIN_CODES: codes}
    write_part(plain, table, *part, force=True)
    model = tiny_refining(tiny_model)
    config = {
        "name": "refined",
        "modality": "image",
        "model": {
            "on": {"name": "plain", "codebook_id": plain.codebook_id.hex()},
            "refiner": dataclasses.asdict(model.network.config),
        },
        "rates": {"curvature": model.rates.by_map(), "least": 15.0, "most": 1500.0},
    }
    folder = tiny_weights.parent / "refined"
    folder.mkdir()
    write_refining(folder, config, model)
    return folder


@pytest.fixture(scope="session")
def framed_weights(tiny_weights: Path) -> Path:
    """The model of `tiny` as `framed`, with a coding prior that has seen two frames before."""
    folder = tiny_weights.parent / "framed"
    shutil.copytree(tiny_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "framed"}), encoding="utf-8")
    table = {"codebook_id": read_weights(folder).codebook_id.hex()}
    part = prior_bytes(frames_prior((32,), coding=True))
    write_part(read_weights(folder), table, *part, force=False)
    return folder


@pytest.fixture(scope="session")
def moving_weights(refined_weights: Path) -> Path:
    """Weights named `moving` whose first frames are those of `refined`, as are its codebooks."""
    folder = refined_weights.parent / "moving"
    folder.mkdir()
    data = (refined_weights / MODEL).read_bytes()
    (folder / MODEL).write_bytes(data)
    refined = json.loads((refined_weights / CONFIG).read_text(encoding="utf-8"))
    codebooks = safetensors.numpy.load(data)[CODEBOOKS].astype("<f4").tobytes()
    identity = codebook_id(bytes.fromhex(refined["codebook_id"]) + codebooks).hex()
    vectors = {"codebook_size": 256, "stride": [8, 8]}
    config = {
        "name": "moving",
        "modality": "video",
        "model": {
            "on": {"name": "refined", "codebook_id": refined["codebook_id"]},
            "refiner": refined["model"]["refiner"],
        },
        "maps": [vectors, vectors, *refined["maps"]],
        "rates": {**refined["rates"], "most": 3000.0},
        "codebook_id": identity,
        "files": {MODEL: hashlib.sha256(data).hexdigest()},
    }
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    sizes = (*(256,) * 4, *(16,) * 6)
    prior = lattice_prior(sizes, (1, 1, 1, 1, 2, *(1,) * 5), conditions=3, slope=0.3)
    data = coding_bytes([to_arrays(prior)])
    write_part(read_weights(folder), {"codebook_id": identity}, FRAME_PRIOR, data, force=False)
    return folder


@pytest.fixture(scope="session")
def walking_weights(tiny_weights: Path) -> Path:
    """The model of `tiny` as `walking`, with a prior of successive frames that knows actions."""
    folder = tiny_weights.parent / "walking"
    shutil.copytree(tiny_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "name": "walking"}), encoding="utf-8")
    prior = frames_prior((32,))
    table = {
        "codebook_id": read_weights(folder).codebook_id.hex(),
        "modality": "video",
        "prior": {"kind": "frames", **dataclasses.asdict(prior.config)},
    }
    write_part(read_weights(folder), table, *prior_bytes(prior), force=False)
    return folder


@pytest.fixture(autouse=True)
def _own_weights(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tiny_weights.parent))


@pytest.fixture(autouse=True)
def _no_graphs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("graphs") is None:
        monkeypatch.setitem(sys.modules, "onnx", None)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A PNG of 40x52 pixels."""
    path = tmp_path / "photo.png"
    Image(picture(52, 40)).save(path)
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in `tmp_path`: in this process, for torch loads but once."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        streams = [io.TextIOWrapper(io.BytesIO(data), "utf-8") for data in (stdin, b"", b"")]
        streams[2].reconfigure(errors="backslashreplace")  # as Python's own
        handlers = [(s, signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM)]
        argv = list(map(str, arguments))
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            patch.setattr(sys, "argv", ["vqcodec", *argv])
            try:
                main(argv)
            except SystemExit as end:
                code = end.code
            finally:
                for number, handler in handlers:
                    signal.signal(number, handler)
        assert isinstance(code, int)
        out, err = (_content(s) for s in streams[1:])
        return subprocess.CompletedProcess(argv, code, out, err)

    return run


def _content(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()
