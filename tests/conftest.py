"""Fixtures: a tiny model with random weights, on disk like any other, and synthetic pictures."""

import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vqcodec.cli import main
from vqcodec.config import Tree, load_preset, override
from vqcodec.media.image import Image
from vqcodec.vqvae import VQVAE, build
from vqcodec.weights import write_weights

torch.set_num_threads(1)  # the models are tiny, and threads that wait for each other are slow

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="Write the golden files anew."
    )


def tiny_config() -> Tree:
    """image-f4's shape in small: same kinds, same stride, K = 32."""
    return override(
        load_preset("image-f4"),
        [
            "model.encoder.widths=[4, 8]",
            "model.encoder.blocks=[0, 2]",
            "model.encoder.dim=4",
            "model.quantizer.codebook_size=32",
            "model.quantizer.dim=4",
            "model.decoder.widths=[8, 4]",
            "model.decoder.blocks=[1, 1]",
            "model.decoder.dim=4",
        ],
    )


def lively(model: VQVAE) -> VQVAE:
    """Give residual blocks, which start at zero, something to do."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


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


@pytest.fixture(autouse=True)
def _own_weights(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tiny_weights.parent))


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x * rng.uniform(0.02, 0.5) + y * rng.uniform(0.02, 0.5) + rng.uniform(0, 6))
        for _ in range(9)
    ]
    channels = np.stack([sum(waves[i::3]) for i in range(3)], axis=-1)
    return np.clip(128 + 40 * channels + rng.normal(0, 8, channels.shape), 0, 255).astype(np.uint8)


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
