"""Range-coded .vqc files: same indices, fewer bytes, every damage noticed."""

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers import Run, add_coding_prior, picture
from vqcodec import Codes, Image
from vqcodec.coding.priors import MapPrior
from vqcodec.codingpriors import coding_priors
from vqcodec.errors import FormatError, VqcodecError, WeightsError
from vqcodec.files import frames, mapreader, vqc
from vqcodec.files.contents import INFOS
from vqcodec.files.vqc import is_coded
from vqcodec.weights import CONFIG, read_weights

K = 32


def codes(weights: Path, height: int, width: int, *, skew: float = 0.3, axes: str = "hw") -> Codes:
    """Codes of `coded` whose small indices are the frequent ones, as its prior expects."""
    rng = np.random.default_rng(height + width)
    grid = np.minimum(rng.geometric(skew, (height, width)) - 1, K - 1).astype(np.uint16)
    size = (4 * height, 4 * width) if axes == "hw" else (height, 64 * width)
    identity = read_weights(weights).codebook_id
    return Codes((grid,), (K,), axes, weights.name, identity, INFOS[axes](size, size))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("hw", (1, 40)), ("hw", (40, 1)), ("hw", (30, 31)), ("ct", (1, 300)), ("ct", (2, 50))],
)
def test_range_coded_files_are_smaller_and_give_the_same_codes(
    coded_weights: Path, shape: tuple[int, int], axes: str
) -> None:
    original = codes(coded_weights, *shape, axes=axes)
    coded, packed = original.to_bytes(".vqc"), original.to_bytes(".vqc", prior=False)
    assert is_coded(coded) and not is_coded(packed) and len(coded) < len(packed)
    assert Codes.from_bytes(coded, "coded") == Codes.from_bytes(packed, "packed") == original


def test_packed_indices_are_kept_where_they_are_smaller(coded_weights: Path) -> None:
    surprising = codes(coded_weights, 20, 20)
    surprising.grids[0][:] = K - 1
    assert not is_coded(surprising.to_bytes(".vqc"))


def test_blocks_are_coded_apart_and_come_back_in_place(
    coded_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "BLOCKS", {"hw": (16, 12), "ct": (2, 90)})
    for axes, height, width in (("hw", 35, 40), ("ct", 3, 200)):
        original = codes(coded_weights, height, width, axes=axes)
        data = original.to_bytes(".vqc")
        assert is_coded(data)
        for cores in (1, 2, 7):
            monkeypatch.setattr(frames, "usable_cores", lambda cores=cores: cores)
            assert original.to_bytes(".vqc") == data
            assert Codes.from_bytes(data, "blocks") == original


def test_every_bit_matters_and_no_cut_goes_unnoticed(coded_weights: Path) -> None:
    data = codes(coded_weights, 9, 7).to_bytes(".vqc")
    assert is_coded(data)
    for position in range(8 * len(data)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(VqcodecError):
            Codes.from_bytes(bytes(changed), "flipped")
    for length in range(len(data)):
        with pytest.raises(FormatError):
            Codes.from_bytes(data[:length], "cut")
    for extra in (b"\0", b"\xff" * 9):
        with pytest.raises(FormatError):
            Codes.from_bytes(data + extra, "longer")


def test_random_mutations(coded_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BLOCKS", {"hw": (4, 4)})
    data = codes(coded_weights, 9, 7).to_bytes(".vqc")
    rng = random.Random(0)
    for _ in range(400):
        changed = bytearray(data)
        where = rng.randrange(len(changed))
        if rng.random() < 0.5:
            changed[where : where + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(9))
        else:
            changed[where] = rng.randrange(256)
        if changed != data:
            with pytest.raises(VqcodecError):
                Codes.from_bytes(bytes(changed), "mutated")


def test_a_few_bytes_cannot_claim_many_indices(coded_weights: Path) -> None:
    """Else a file of 40 bytes would keep the decoder busy for hours."""
    data = codes(coded_weights, 9, 7).to_bytes(".vqc")
    size = data.index(bytes([35, 27]))  # 36 x 28 pixels, each less one
    vast = data[:size] + b"\xff\x07" * 2 + data[size + 2 :]
    with pytest.raises(FormatError, match="too short for its indices"):
        Codes.from_bytes(vast, "vast")


def test_a_range_coded_grid_is_of_bounded_size(
    coded_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = codes(coded_weights, 20, 20)
    data = original.to_bytes(".vqc")
    assert is_coded(data)
    for module in (vqc, mapreader):
        monkeypatch.setattr(module, "MAX_CODED", 399)
    with pytest.raises(FormatError, match="claims 400 range-coded indices"):
        Codes.from_bytes(data, "large")
    assert not is_coded(original.to_bytes(".vqc"))


class Counting:
    """A coding prior that counts the maps it has decoded."""

    def __init__(self, prior: MapPrior) -> None:
        self.prior, self.decoded = prior, 0
        self.identity, self.codebook_size = prior.identity, prior.codebook_size
        self.coarser, self.most_per_byte = prior.coarser, prior.most_per_byte

    def encode(
        self,
        maps: list[NDArray[np.uint16]],
        before: Sequence[list[NDArray[np.uint16]]] = (),
        *,
        known: int = 0,
    ) -> list[bytes]:
        return self.prior.encode(maps, before, known=known)

    def decode(
        self,
        payloads: list[bytes],
        shape: tuple[int, ...],
        before: Sequence[list[NDArray[np.uint16]]] = (),
        *,
        known: list[NDArray[np.uint16]] | None = None,
    ) -> NDArray[np.uint16]:
        self.decoded += len(payloads)
        return self.prior.decode(payloads, shape, before, known=known)


def test_damage_stops_the_decoder_where_it_shows(
    coded_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a file of little effort could keep it busy to its end."""
    monkeypatch.setattr(frames, "BLOCKS", {"ct": (1, 40)})
    monkeypatch.setattr(frames, "TOGETHER", {"ct": 1})
    original = codes(coded_weights, 1, 2000, axes="ct")
    (model,) = coding_priors(read_weights(coded_weights))
    prior = Counting(model)
    data = bytearray(vqc.dump(original, (prior,)))
    assert vqc.load(bytes(data), lambda *_: prior) == original
    assert prior.decoded == 50
    data[len(data) // 20] ^= 1
    prior.decoded = 0
    with pytest.raises(FormatError, match="checksum"):
        vqc.load(bytes(data), lambda *_: prior)
    assert prior.decoded < 30


def test_the_prior_must_be_the_one_that_wrote(coded_weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "coded"
    shutil.copytree(coded_weights, other)
    original = codes(coded_weights, 20, 20)
    data = original.to_bytes(".vqc")
    add_coding_prior(other, K, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VQCODEC_WEIGHTS", str(other.parent))
        with pytest.raises(WeightsError, match="needs the coding prior"):
            Codes.from_bytes(data, "x.vqc")
        patch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
        with pytest.raises(WeightsError, match="no weights named 'coded'"):
            Codes.from_bytes(data, "x.vqc")
        assert not is_coded(original.to_bytes(".vqc"))
    assert Codes.from_bytes(data, "x.vqc") == original


def test_damaged_priors_are_refused(coded_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "coded"
    shutil.copytree(coded_weights, folder)
    add_coding_prior(folder, K + 1)
    with pytest.raises(WeightsError, match="not a coding prior of these weights"):
        coding_priors(read_weights(folder))
    (folder / "coding_prior.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="damaged"):
        coding_priors(read_weights(folder))
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    del config["files"]["coding_prior.safetensors"]
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    assert coding_priors(read_weights(folder)) == ()


def test_commands_code_with_the_prior_unless_told_not_to(
    coded_weights: Path, run: Run, tmp_path: Path
) -> None:
    original = codes(coded_weights, 20, 22)
    original.save(tmp_path / "a.npz")
    assert run("repack", "a.npz", "-o", "a.vqc").returncode == 0
    assert run("repack", "a.npz", "-o", "b.vqc", "--no-prior").returncode == 0
    said = [json.loads(x) for x in run("info", "a.vqc", "b.vqc", "--json").stdout.splitlines()]
    assert [s["coding"] for s in said] == ["range-coded", "packed"]
    assert said[0]["bytes"] < said[1]["bytes"]
    assert run("repack", "a.vqc", "-o", "c.npz").returncode == 0
    assert Codes.load(tmp_path / "c.npz") == original
    pictures = []
    for name in ("a.vqc", "b.vqc"):
        assert run("decode", name, "-o", f"{name}.png").returncode == 0
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_info_explains_files_whose_coding_prior_is_not_there(
    coded_weights: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes(coded_weights, 20, 22).save(tmp_path / "a.vqc")
    other = tmp_path / "other" / "coded"
    shutil.copytree(coded_weights, other)
    add_coding_prior(other, K, seed=1)
    whole = json.loads(run("info", "a.vqc", "--json").stdout)
    assert whole["codes_used"] == [len(np.unique(codes(coded_weights, 20, 22).grids[0]))]
    for folder, state in ((tmp_path, "not installed"), (other.parent, "without the coding prior")):
        monkeypatch.setenv("VQCODEC_WEIGHTS", str(folder))
        facts = json.loads(run("info", "a.vqc", "--json").stdout)
        assert state in facts.pop("weights") and facts.pop("codes_used") is None
        assert facts.items() <= whole.items() and facts["coding"] == "range-coded"
        said = run("info", "a.vqc")
        assert said.returncode == 0 and said.stdout.count(b"unknown") == 1
        assert run("decode", "a.vqc").returncode == 1
    (tmp_path / "cut.vqc").write_bytes((tmp_path / "a.vqc").read_bytes()[:20])
    assert b"truncated" in run("info", "cut.vqc").stderr


def test_names_in_files_cannot_write_to_the_terminal(
    coded_weights: Path, tmp_path: Path, run: Run
) -> None:
    data = codes(coded_weights, 20, 22).to_bytes(".vqc")
    (tmp_path / "a.vqc").write_bytes(data.replace(b"coded", b"\x1b[2Jx", 1))
    for command in ("info", "decode"):
        done = run(command, "a.vqc")
        assert done.returncode == 1 and b"\x1b" not in done.stdout + done.stderr
    missing = run("info", "\x1b[2J.vqc")
    assert b"no such file" in missing.stderr and b"\x1b" not in missing.stderr


def test_incomplete_weights_say_so(
    coded_weights: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes(coded_weights, 20, 22).save(tmp_path / "a.vqc")
    shutil.copytree(coded_weights, tmp_path / "weights" / "coded")
    (tmp_path / "weights" / "coded" / "coding_prior.safetensors").unlink()
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "weights"))
    Image(picture(20, 22)).save(tmp_path / "a.png")
    said = b"weights/coded: incomplete, it lacks coding_prior.safetensors"
    for command in (("decode", "a.vqc"), ("encode", "a.png", "--model", "coded", "-o", "b.vqc")):
        done = run(*command)
        assert done.returncode == 1 and said in done.stderr
    assert not (tmp_path / "b.vqc").exists()  # packed, as if there had never been a prior
    packed = ("encode", "a.png", "--model", "coded", "--no-prior", "-o", "b.vqc")
    assert run(*packed).returncode == run("info", "a.vqc").returncode == 0


def test_weights_without_their_config_say_so(
    coded_weights: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes(coded_weights, 20, 22).save(tmp_path / "a.vqc")
    Image(picture(20, 22)).save(tmp_path / "a.png")
    folder = tmp_path / "weights" / "coded"
    shutil.copytree(coded_weights, folder)
    (folder / CONFIG).rename(folder / "config.bak")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(folder.parent))
    said = b"coded: incomplete, it lacks config.json; install these weights anew\n"
    encode = ("encode", "a.png", "-o", "b.vqc", "--model")
    # of a whole copy elsewhere, too: whoever reads the file would look for its prior in vain
    for command in (("decode", "a.vqc"), *((*encode, w) for w in ("coded", folder, coded_weights))):
        done = run(*command)
        assert done.returncode == 1 and done.stderr.endswith(said), command
    assert b"incomplete, it lacks config.json" in run("models").stderr
    assert b"no folder of weights" in run(*encode, tmp_path).stderr
    shutil.copytree(coded_weights, tmp_path / "other" / "coded")
    monkeypatch.setattr("vqcodec.weights.user_folder", lambda: tmp_path / "other")
    assert run("decode", "a.vqc").returncode == 0  # from wherever they are whole


def test_weights_that_change_are_read_anew(coded_weights: Path, tmp_path: Path) -> None:
    shutil.copytree(coded_weights, tmp_path / "coded")
    assert read_weights(tmp_path / "coded") is read_weights(tmp_path / "coded")
    path = tmp_path / "coded" / CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "name": "renamed"}), encoding="utf-8")
    assert read_weights(tmp_path / "coded").name == "renamed"
