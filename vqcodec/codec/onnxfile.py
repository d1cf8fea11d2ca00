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

Value: TypeAlias = int | memoryview
Pieces: TypeAlias = list[bytes | memoryview]


@dataclass(frozen=True)
class Initializer:
    """What a graph says of a tensor.

    Attributes:
        kind: of its numbers, as ONNX counts them.
        shape: how many there are along each axis.
        external: keys and values that tell where they lie; empty where that is in the graph.
    """

    kind: Value
    shape: tuple[Value, ...]
    external: dict[str, str]


def initializers(data: bytes) -> dict[str, Initializer]:
    """Return the tensors that a graph begins with, by name, in their order.

    Raises:
        ValueError: the file is damaged.
    """
    found = {}
    for number, value, _ in _fields(memoryview(data)):
        if number == GRAPH:
            for kind, part, _ in _fields(_bytes(value)):
                if kind == INITIALIZER:
                    name, tensor = _initializer(_bytes(part))
                    if name in found:
                        raise ValueError("is damaged")
                    found[name] = tensor
    return found


def _initializer(tensor: memoryview) -> tuple[str, Initializer]:
    name, external = "", dict[str, str]()
    kind: Value = 0
    shape: list[Value] = []
    for number, value, _ in _fields(tensor):
        if number == NAME:
            name = _text(value)
        elif number == TYPE:
            kind = value
        elif number == DIMS:
            shape.append(value)
        elif number == EXTERNAL:
            external |= _entry(value)
    return name, Initializer(kind, tuple(shape), external)


def metadata(data: bytes) -> dict[str, str]:
    """Return what a file tells by keys.

    Raises:
        ValueError: the file is damaged.
    """
    found: dict[str, str] = {}
    for number, value, _ in _fields(memoryview(data)):
        if number == METADATA:
            found |= _entry(value)
    return found


def _entry(value: Value) -> dict[str, str]:
    texts = {number: _text(text) for number, text, _ in _fields(_bytes(value))}
    return {texts.get(KEY, ""): texts.get(VALUE, "")}


def fill(data: bytes, numbers: Mapping[str, bytes]) -> bytes:
    """Return a graph in which tensors have other numbers, or such as it had not.

    Args:
        data: the graph.
        numbers: bytes of its initializers, by name; those of the others stay.

    Raises:
        ValueError: the file is damaged.
    """
    model: Pieces = []
    for number, value, whole in _fields(memoryview(data)):
        if number == GRAPH:
            graph: Pieces = []
            for kind, part, own in _fields(_bytes(value)):
                graph += _filled(_bytes(part), own, numbers) if kind == INITIALIZER else [own]
            model += _field(GRAPH, graph)
        else:
            model.append(whole)
    return b"".join(model)


def _filled(tensor: memoryview, whole: memoryview, numbers: Mapping[str, bytes]) -> Pieces:
    """Return the field of an initializer, which is `whole` now."""
    name, kept = "", []
    for number, value, own in _fields(tensor):
        if number == NAME:
            name = _text(value)
        if number not in (RAW, EXTERNAL, LOCATION):
            kept.append(own)
    if name not in numbers:
        return [whole]
    return _field(INITIALIZER, [*kept, *_field(RAW, [numbers[name]])])


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


def check_graph(data: bytes) -> None:
    """Raise ValueError, with what is wrong, unless a file holds a graph that may be run."""
    graphs = 0
    for number, value, _ in _fields(memoryview(data)):
        if number == FUNCTIONS:
            raise ValueError("asks for operators of its own")
        if number == GRAPH:
            graphs += 1
            for kind, part, _ in _fields(_bytes(value)):
                if kind == NODE:
                    _check_node(_bytes(part))
                elif kind == INITIALIZER:
                    _check_tensor(_bytes(part))
                elif kind == SPARSE:
                    raise ValueError("holds sparse tensors")
    if graphs != 1:
        raise ValueError("is no ONNX graph")


def _check_node(node: memoryview) -> None:
    for number, value, _ in _fields(node):
        if number == DOMAIN and bytes(_bytes(value)) not in STANDARD:
            raise ValueError("asks for operators that are not standard")
        if number == ATTRIBUTE:
            for kind, part, _ in _fields(_bytes(value)):
                if kind in (SUBGRAPH, SUBGRAPHS):
                    raise ValueError("holds graphs inside its graph")
                if kind in (TENSOR, TENSORS):
                    _check_tensor(_bytes(part))


def _check_tensor(tensor: memoryview) -> None:
    for number, value, _ in _fields(tensor):
        if number == EXTERNAL or (number == LOCATION and value != 0):
            raise ValueError("asks for data outside of it")


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
