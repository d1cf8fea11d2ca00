"""The house stands as drawn: imports point down only, and shared contracts hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vqcodec
from vqcodec.config import preset_names
from vqcodec.modality import MODALITIES, Modality, load

ROOT = Path(vqcodec.__file__).parent

# Each part may import those listed, and itself; everyone may import errors.
FLOORS = {
    "errors": (),
    "modality": (),
    "config": (),
    "maps": (),
    "coding": (),
    "weights": ("coding", "config", "modality"),
    "codingpriors": ("coding", "weights"),
    "framepriors": ("coding", "codingpriors", "weights"),
    "files": ("coding", "codingpriors", "framepriors", "maps", "modality", "weights"),
    "media": ("files",),
    "voice": ("media", "weights"),
    "data": ("media", "modality"),
    "metrics": ("media", "voice"),
    "models": (*("coding", "codingpriors", "config", "files", "framepriors", "maps", "weights"),),
    "codec": (
        *("coding", "codingpriors", "config", "files", "framepriors", "maps", "media", "modality"),
        *("models", "voice", "weights"),
    ),
    "rate": ("codec",),
    "sampling": (
        *("codec", "codingpriors", "files", "maps", "media", "modality", "models", "voice"),
        "weights",
    ),
    "tokens": (*("codec", "coding", "data", "files", "maps", "modality", "voice", "weights"),),
    "ray": ("files", "modality", "tokens", "weights"),
    "figures": ("codec", "files", "maps", "media", "metrics", "voice"),
    "play": ("media", "sampling"),
    "demo": ("codec", "figures", "files", "maps", "weights"),
    "benchmark": (
        *("codec", "coding", "codingpriors", "files", "maps", "media", "metrics", "modality"),
        *("models", "sampling", "tokens", "voice", "weights"),
    ),
    "evaluate": (
        *("codec", "coding", "codingpriors", "data", "figures", "files", "framepriors", "media"),
        *("metrics", "modality", "models", "sampling", "voice", "weights"),
    ),
    "train": (
        *("codec", "coding", "codingpriors", "config", "data", "files", "framepriors", "maps"),
        *("media", "metrics", "modality", "models", "voice", "weights"),
    ),
    "cli": (
        *("benchmark", "codec", "codingpriors", "config", "data", "demo", "evaluate", "figures"),
        *("files", "framepriors", "media", "metrics", "modality", "play", "sampling", "tokens"),
        *("train", "voice", "weights"),
    ),
}
# an engine is all that these know of what computes
CODECS = tuple(f"codec/{name}.py" for name in ("base", "image", "speech", "streaming", "convert"))
NO_TORCH = (
    *("errors", "modality", "config", "maps", "coding", "weights", "codingpriors", "framepriors"),
    *("files", "media", "voice", "data", "cli"),
)


TENSORS = "to_tensor"  # who calls this has torch


def imports(path: Path, but: str = "", types: bool = True) -> set[str]:
    """Return what a file imports, but in functions of this name.

    What it needs to know for its types only, it knows all the same; without `types` that is left
    out: then it is what running the file may load.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            return
        if isinstance(node, ast.FunctionDef) and node.name == but:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{a.name}" for a in node.names)})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def parts() -> list[tuple[str, Path]]:
    files = [(p.relative_to(ROOT).parts[0].removesuffix(".py"), p) for p in ROOT.rglob("*.py")]
    return [(part, p) for part, p in files if part not in ("__init__", "__main__")]


@pytest.mark.parametrize(("part", "path"), parts(), ids=lambda v: getattr(v, "name", v))
def test_imports_point_down(part: str, path: Path) -> None:
    allowed = {"errors", part, *FLOORS[part]}
    for name in imports(path):
        root, *rest = name.split(".")
        if root == "vqcodec" and rest:
            below = rest[0] in allowed or rest[0].startswith("__")
            assert below, f"{path.relative_to(ROOT)} imports {name}"
    if part in NO_TORCH or path.relative_to(ROOT).as_posix() in CODECS:
        found = {name.split(".")[0] for name in imports(path, but=TENSORS, types=False)}
        assert not {"torch", "torchaudio"} & found, f"{path.relative_to(ROOT)} imports torch"


def test_codecs_load_no_torch_before_an_engine_does() -> None:
    modules = [name.removesuffix(".py").replace("/", ".") for name in CODECS]
    program = "".join(f"import vqcodec.{name}\n" for name in modules)
    program += "import sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_file_imports_itself_by_a_detour() -> None:
    modules = {
        ".".join(["vqcodec", *p.relative_to(ROOT).with_suffix("").parts]): imports(p)
        for _, p in parts()
        if p.name != "__init__.py"
    }
    below = {m: {n for n in names if n in modules} for m, names in modules.items()}
    while leaves := [m for m, names in below.items() if not names]:  # sorts topologically
        for leaf in leaves:
            del below[leaf]
        below = {m: names - set(leaves) for m, names in below.items()}
    assert not below, f"cycle among {sorted(below)}"


def test_files_stay_small() -> None:
    for _, path in parts():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path.name


def test_one_table_tells_kinds_of_media_apart() -> None:
    told = {word for modality in MODALITIES for word in (modality.name, modality.axes)}
    for part, path in parts():
        if part in ("modality", "files"):  # a format writes its axes
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not told & words, f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                kind = ast.unparse(node.args[1])
                assert not kind.endswith("Codec"), f"{path.relative_to(ROOT)}: {ast.unparse(node)}"


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.name)
def test_rows_name_what_is_there(modality: Modality) -> None:
    for place in (modality.suffixes, modality.codec, modality.handler, modality.training):
        assert load(place) is not None
    assert load(modality.codec).modality is modality
    assert load(modality.handler).modality is modality
    assert modality.suffix in load(modality.suffixes)()
    assert {modality.prior_preset, modality.maps_preset} <= set(preset_names())
