"""What was written once must be read forever: exact bytes, and pixels within one grey level.

``pytest --regenerate-golden`` writes these files anew. That is a breaking change for users.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import picture, voice
from vqcodec import Audio, Codec, Codes, Image, SpeechCodec
from vqcodec.coding.priors import Priors
from vqcodec.codingpriors import coding_priors, former_priors
from vqcodec.files.vqc import is_coded
from vqcodec.weights import GRAPHS_KEY, list_weights, read_weights

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER.parents[1] / "weights"
SHIPPED = sorted(p.name for p in WEIGHTS.iterdir() if p.is_dir())
PICTURES, SPEECH = (
    [
        name
        for name in SHIPPED
        if (weights := read_weights(WEIGHTS / name)).modality == modality and not weights.refiner
    ]
    for modality in ("image", "audio")
)
CODED = ("plain",)  # the other is so small that packed bits win
ENGINES = ("torch", "onnx")
COMPUTED, SPOKEN = (  # not all weights carry graphs
    [
        (n, e)
        for n in names
        for e in ENGINES
        if e == "torch" or GRAPHS_KEY in read_weights(WEIGHTS / n).config
    ]
    for names in (PICTURES, SPEECH)
)
CASES = {"plain": (70, 98, False), "alpha": (33, 21, True)}


def original(case: str) -> Image:
    height, width, transparent = CASES[case]
    alpha = None
    if transparent:
        alpha = np.add.outer(np.arange(height), 3 * np.arange(width)).astype(np.uint8)
    return Image(picture(height, width, seed=5), alpha)


def test_weights_are_shipped_and_found_by_name() -> None:
    assert "image-f4" in PICTURES
    assert "speech-64x" in SPEECH
    assert set(SHIPPED) <= {w.name for w in list_weights()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "engine"), COMPUTED)
def test_files_and_pixels_stay_as_they_are(
    name: str, case: str, engine: str, request: pytest.FixtureRequest
) -> None:
    codec = Codec.load(name, device="cpu", precision="fp32", engine=engine)
    base = FOLDER / f"{name}-{case}"
    suffixes = (".npz", ".vqc", ".packed.vqc", ".png")
    files = {suffix: Path(f"{base}{suffix}") for suffix in suffixes}
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(original(case))
        for suffix in suffixes[:-1]:
            codes.save(files[suffix], force=True, prior=suffix != ".packed.vqc")
        codec.decode(codes).save(files[".png"], force=True)
    coded = case in CODED and bool(coding_priors(codec.weights))
    codes = read_all(files, coded=coded, prior=former_priors(codec.weights) or True)
    assert codes.codebook_id == codec.weights.codebook_id
    kept, decoded = Image.open(files[".png"]), codec.decode(codes)
    assert np.abs(decoded.pixels.astype(int) - kept.pixels).max() <= 1
    assert (decoded.alpha is None) == (kept.alpha is None)
    fresh = codec.encode(original(case))
    # The encoder computes in floating point: a few ties may fall the other way elsewhere.
    assert all(np.mean(a == b) > 0.98 for a, b in zip(fresh.grids, codes.grids, strict=True))
    assert replace(fresh.image, tint=None) == codes.image  # these files are older than tints


@pytest.mark.parametrize("engine", ENGINES)
def test_tints_stay_as_they_are(engine: str, request: pytest.FixtureRequest) -> None:
    codec = Codec.load("image-f4", device="cpu", precision="fp32", engine=engine)
    files = {suffix: FOLDER / f"image-f4-tint{suffix}" for suffix in (".npz", ".vqc", ".png")}
    pixels = picture(120, 200, seed=6)
    pixels[:, :130] = (200, 30, 30)
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(pixels)
        codes.save(files[".npz"], force=True)
        codec.without_unseen(codes).save(files[".vqc"], force=True)
        codec.decode(codes).save(files[".png"], force=True)
    full, small = (Codes.load(files[suffix]) for suffix in (".npz", ".vqc"))
    assert full.to_bytes(".npz") == files[".npz"].read_bytes()
    former = former_priors(codec.weights)
    assert small.to_bytes(".vqc", prior=former) == files[".vqc"].read_bytes()
    assert full.media == small.media
    kept = Image.open(files[".png"]).pixels
    for codes in (full, small):
        assert np.abs(codec.decode(codes).pixels.astype(int) - kept).max() <= 1
    assert np.abs(kept[:, :96].astype(int) - pixels[:, :96]).max() <= 1


@pytest.mark.parametrize(("name", "engine"), SPOKEN)
def test_files_and_samples_stay_as_they_are(
    name: str, engine: str, request: pytest.FixtureRequest
) -> None:
    codec = SpeechCodec.load(name, device="cpu", precision="fp32", engine=engine)
    sound = voice(30_000, 22_050, 2, seed=5)
    suffixes = (".npz", ".vqc", ".packed.vqc", ".flac")
    files = {suffix: FOLDER / f"{name}{suffix}" for suffix in suffixes}
    if request.config.getoption("--regenerate-golden"):
        codes = codec.encode(sound)
        for suffix in suffixes[:-1]:
            codes.save(files[suffix], force=True, prior=suffix != ".packed.vqc")
        codec.decode(codes).save(files[".flac"], force=True)
    codes = read_all(files, coded=bool(coding_priors(codec.weights)))
    assert codes.codebook_id == codec.weights.codebook_id
    kept, decoded = Audio.open(files[".flac"]).samples, codec.decode(codes).samples
    assert np.sqrt(np.mean((kept - decoded) ** 2)) < 0.01 * np.sqrt(np.mean(kept**2))
    fresh = codec.encode(sound)
    assert np.mean(fresh.grids[0] == codes.grids[0]) > 0.98
    speakers = [np.frombuffer(c.audio.speaker, np.int8).astype(int) for c in (fresh, codes)]
    assert np.abs(speakers[0] - speakers[1]).max() <= 1


@pytest.mark.parametrize("kind", ["plain", "tint"])
def test_files_of_version_1_and_the_coding_prior_of_today_are_read(kind: str) -> None:
    data = (FOLDER / f"image-f4-{kind}.causal.vqc").read_bytes()
    assert is_coded(data) and data[3] == 1
    assert Codes.from_bytes(data, "old") == Codes.load(FOLDER / f"image-f4-{kind}.vqc")


@pytest.mark.parametrize(
    "kind",
    [
        "image-f4-plain",
        "image-f4-alpha",
        "image-f4-tint",
        "image-plain",
        "image-alpha",
        "speech-64x",
        "speech-64x-residual",
        "speech-64x-residual-4",
    ],
)
def test_files_by_a_profile_stay_as_they_are(kind: str, request: pytest.FixtureRequest) -> None:
    path, npz = (FOLDER / f"{kind}{suffix}" for suffix in (".short.vqc", ".npz"))
    if request.config.getoption("--regenerate-golden"):
        if kind.endswith("-4"):
            codec = SpeechCodec.load("speech-64x-residual").with_codebooks(4)
            codec.encode(voice(30_000, 22_050, 2, seed=5)).save(npz, force=True)
        path.write_bytes(Codes.load(npz).to_bytes(".vqc"))
    codes = Codes.load(npz)
    data = path.read_bytes()
    assert data[3] == 4 and is_coded(data)
    assert codes.to_bytes(".vqc") == data
    assert Codes.from_bytes(data, "new") == codes


def read_all(files: dict[str, Path], *, coded: bool, prior: bool | Priors = True) -> Codes:
    """Return the codes that all files hold, checked to be written again byte by byte.

    That is exact on every machine: nothing between file and indices is approximate.
    """
    codes = Codes.load(files[".npz"])
    for suffix, used in ((".vqc", prior), (".packed.vqc", False)):
        assert Codes.load(files[suffix]) == codes
        data = codes.to_bytes(".vqc", prior=used)
        if data[3] != 4:  # there are files of their own of these
            assert data == files[suffix].read_bytes()
        assert is_coded(files[suffix].read_bytes()) == (bool(used) and coded)
    return codes
