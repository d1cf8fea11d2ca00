"""Settings: TOML presets and JSON configs turned into frozen dataclasses, strictly.

A *tree* is what ``tomllib`` and ``json`` return: nested dicts of plain values. `parse` turns one
table of a tree into a dataclass and refuses unknown keys and wrong types, so that a misspelt
setting is an error and never a silent default.
"""

import copy
import dataclasses
import difflib
import itertools
import json
import re
import tomllib
import types
import typing
from importlib import resources
from typing import Any, TypeVar

from vqcodec.errors import UsageError

Tree = dict[str, Any]
T = TypeVar("T")


def preset_names() -> list[str]:
    """Names of the presets that ship with the package, sorted."""
    folder = resources.files("vqcodec") / "presets"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def preset_summary(name: str) -> str:
    """Return the first sentence of the comment at the top of a preset."""
    text = (resources.files("vqcodec") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    comment = " ".join(line.removeprefix("#").strip() for line in lines)
    return re.split(r"(?<=\.) ", comment)[0]


def load_preset(name: str) -> Tree:
    """Read the preset `name`.

    Raises:
        UsageError: no such preset.
    """
    if name not in preset_names():
        raise UsageError(f"no preset named '{name}'; there are: {', '.join(preset_names())}")
    text = (resources.files("vqcodec") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def override(tree: Tree, assignments: list[str]) -> Tree:
    """Return a copy of `tree` with `table.key=value` assignments applied.

    Values are read as TOML (``4``, ``1e-3``, ``true``, ``[1, 2]``); anything else is a string.

    Raises:
        UsageError: an assignment is malformed, or names a key that the tree does not have.
    """
    tree = copy.deepcopy(tree)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        *tables, key = path.strip().split(".")
        if not equals or not key:
            raise UsageError(f"--set {assignment}: write it as table.key=value")
        table = tree
        for name in tables:
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {assignment}: '{name}' is a value, not a table")
        if key not in table:
            raise UsageError(f"--set {assignment}: {_unknown(tree, path.strip())}")
        table[key] = _value(text.strip())
    return tree


def parse(cls: type[T], table: Any, where: str) -> T:
    """Build the dataclass `cls` from one table of a tree.

    Args:
        cls: a dataclass whose fields are bool, int, float, str or tuples of these.
        table: the dict to read.
        where: how messages name the table, such as ``encoder``.

    Raises:
        UsageError: the table is no dict, a key is unknown or missing, or a value is of the wrong
            type or out of range (`cls.__post_init__` may raise ValueError).
    """
    if not isinstance(table, dict):
        raise UsageError(f"'{where}' must be a table of settings")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise UsageError(f"'{where}' has no setting '{unknown[0]}'; it has: {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    values = {key: _convert(value, hints[key], f"{where}.{key}") for key, value in table.items()}
    try:
        return cls(**values)
    except TypeError:
        missing = [
            n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in values
        ]
        raise UsageError(f"'{where}' lacks: {', '.join(missing)}") from None
    except ValueError as error:
        raise UsageError(f"'{where}': {error}") from None


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless low <= value <= high (so also for NaN)."""
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, must be from {low} to {high}")


def _convert(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.GenericAlias) and hint.__origin__ is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"'{where}' must be a list")
        kinds = hint.__args__
        if kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        if len(kinds) != len(value):
            raise UsageError(f"'{where}' must have {len(kinds)} values")
        return tuple(_convert(v, kind, where) for v, kind in zip(value, kinds, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UsageError(f"'{where}' is {value!r}, must be of type {hint.__name__}")
    return value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _unknown(tree: Tree, path: str) -> str:
    """Say that a tree has no such setting, and which it has that are like it."""
    known = _paths(tree)
    near = [p for p in known if p.rpartition(".")[2] == path.rpartition(".")[2]]
    near += difflib.get_close_matches(path, known, n=2, cutoff=0.7)
    table = path.rpartition(".")[0]
    inside = [p for p in known if p.rpartition(".")[0] == table]
    if near:
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?"
    elif inside:
        hint = f"there are: {', '.join(inside)}"
    else:
        tables = dict.fromkeys(p.rpartition(".")[0] for p in known if "." in p)
        hint = f"there are tables: {', '.join(tables)}"
    return f"no setting '{path}'; {hint}"


def _paths(tree: Tree, prefix: str = "") -> list[str]:
    paths = []
    for key, value in tree.items():
        paths += _paths(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return paths


def to_json(tree: Tree) -> str:
    """Serialise a tree as indented JSON with a final newline.

    What is no text in names of files becomes an escape, of which `json.loads` makes the same name.
    """
    text = json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()
