"""What an ONNX file asks for, before a runtime gets it: graphs of weights may come from anywhere.

A runtime would read other files that the graph names, and repeat parts of it for as long as it
says. So only graphs pass that hold all they need, of standard operators, in a row; numbers that lie
elsewhere can be put into them.

The format is Protocol Buffers: fields, each a number and a wire type, then a number or so many
bytes, which may be fields again (onnx.proto of github.com/onnx/onnx).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
GRAPH, METADATA, FUNCTIONS = 7, 14, 25  # of a model
NODE, INITIALIZER, SPARSE = 1, 5, 15  # of a graph
ATTRIBUTE, DOMAIN = 5, 7  # of a node
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS = 5, 6, 10, 11  # of an attribute
DIMS, TYPE, NAME, RAW, EXTERNAL, LOCATION = 1, 2, 8, 9, 13, 14  # of a tensor
KEY, VALUE = 1, 2  # of metadata, and of what a tensor says of external data
STANDARD = (b"", b"ai.onnx")  # domains of operators
OUTSIDE = "asks for data outside of it"

Value: TypeAlias = int | memoryview
Pieces: TypeAlias = list[bytes | memoryview]


@dataclass(frozen=True)
class Initializer:
    """What a graph says of a tensor that it begins with.

    Attributes:
        kind: of its numbers, as ONNX counts them.
        shape: how many there are along each axis.
        external: keys and values that tell where they lie; empty where that is in the graph.
        outside: whether it asks for data outside of the graph.
        told: the fields but those of its numbers and where they lie.
        whole: all of it, as a field of the graph.
    """

    kind: Value
    shape: tuple[Value, ...]
    external: dict[str, str]
    outside: bool
    told: bytes
    whole: memoryview

    def filled(self, numbers: bytes | None) -> Pieces:
        """Return the field with other numbers; without any, as it is."""
        if numbers is not None:
            return _field(INITIALIZER, [self.told, *_field(RAW, [numbers])])
        if self.outside:
            raise ValueError(OUTSIDE)
        return [self.whole]


class Graph:
    """A file that may be run, once it has the numbers that lie elsewhere.

    Attributes:
        initializers: the tensors that it begins with, by name, in their order.
        metadata: what it tells by keys.

    Args:
        data: the file.

    Raises:
        ValueError: with what is wrong: it is damaged, or may not be run.
    """

    def __init__(self, data: bytes) -> None:
        self.initializers: dict[str, Initializer] = {}
        self.metadata: dict[str, str] = {}
        self._model: Pieces = []
        self._graph: list[str | memoryview] = []  # an initializer is there by its name
        found = []
        for number, value, whole in _fields(memoryview(data)):
            if number == FUNCTIONS:
                raise ValueError("asks for operators of its own")
            if number == METADATA:
                self.metadata |= _entry(value)
            if number == GRAPH:
                found.append(len(self._model))
                self._read(_bytes(value))
            self._model.append(whole)
        if len(found) != 1:
            raise ValueError("is no ONNX graph")
        self._place = found[0]

    def _read(self, graph: memoryview) -> None:
        for number, value, whole in _fields(graph):
            if number == INITIALIZER:
                name, tensor = _initializer(_bytes(value), whole)
                if name in self.initializers:
                    raise ValueError("is damaged")
                self.initializers[name] = tensor
                self._graph.append(name)
                continue
            if number == NODE:
                _check_node(_bytes(value))
            elif number == SPARSE:
                raise ValueError("holds sparse tensors")
            self._graph.append(whole)

    def filled(self, numbers: Mapping[str, bytes]) -> bytes:
        """Return the file with other numbers, or such as it had not, which asks for no others.

        Args:
            numbers: bytes of initializers, by name; those of the others stay.

        Raises:
            ValueError: others lie outside of it.
        """
        graph: Pieces = []
        for part in self._graph:
            if isinstance(part, str):
                graph += self.initializers[part].filled(numbers.get(part))
            else:
                graph.append(part)
        before, after = self._model[: self._place], self._model[self._place + 1 :]
        return b"".join([*before, *_field(GRAPH, graph), *after])


def _initializer(tensor: memoryview, whole: memoryview) -> tuple[str, Initializer]:
    name, shape, external, told = "", list[Value](), dict[str, str](), bytearray()
    kind: Value = 0
    outside = False
    for number, value, own in _fields(tensor):
        if number == NAME:
            name = _text(value)
        elif number == TYPE:
            kind = value
        elif number == DIMS:
            shape.append(value)
        elif number == EXTERNAL:
            external |= _entry(value)
        outside |= _outside(number, value)
        if number not in (RAW, EXTERNAL, LOCATION):
            told += own
    return name, Initializer(kind, tuple(shape), external, outside, bytes(told), whole)


def _entry(value: Value) -> dict[str, str]:
    texts = {number: _text(text) for number, text, _ in _fields(_bytes(value))}
    return {texts.get(KEY, ""): texts.get(VALUE, "")}


def _field(number: int, pieces: Pieces) -> Pieces:
    """Return a field of bytes."""
    return [_number(number << 3 | BYTES) + _number(sum(map(len, pieces))), *pieces]


def _number(value: int) -> bytes:
    """Return a number as `_varint` reads it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _check_node(node: memoryview) -> None:
    for number, value, _ in _fields(node):
        if number == DOMAIN and bytes(_bytes(value)) not in STANDARD:
            raise ValueError("asks for operators that are not standard")
        if number == ATTRIBUTE:
            for kind, part, _ in _fields(_bytes(value)):
                if kind in (SUBGRAPH, SUBGRAPHS):
                    raise ValueError("holds graphs inside its graph")
                if kind in (TENSOR, TENSORS):
                    if any(_outside(n, v) for n, v, _ in _fields(_bytes(part))):
                        raise ValueError(OUTSIDE)


def _outside(number: int, value: Value) -> bool:
    """Tell whether a tensor, by one of its fields, asks for data outside of the graph."""
    return number == EXTERNAL or (number == LOCATION and value != 0)


def _fields(data: memoryview) -> Iterator[tuple[int, Value, memoryview]]:
    """Yield of each field of a message its number, its value, and all of its bytes."""
    place = 0
    while place < len(data):
        start = place
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value, data[start:place]
            continue
        if kind == BYTES:
            size, place = _varint(data, place)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError("is damaged")
        if size > len(data) - place:
            raise ValueError("is damaged")
        value_at = place
        place += size
        yield tag >> 3, data[value_at:place], data[start:place]


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, the lowest first, and where it ends."""
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("is damaged")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("is damaged")
    return value


def _text(value: Value) -> str:
    return bytes(_bytes(value)).decode(errors="replace")
