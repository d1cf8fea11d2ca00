"""What an ONNX file asks for, before a runtime gets it: graphs of weights may come from anywhere.

A runtime would read other files that the graph names, and repeat parts of it for as long as it
says. So only graphs pass that hold all they need, of standard operators, in a row.

The format is Protocol Buffers: fields, each a number and a wire type, then a number or so many
bytes, which may be fields again (onnx.proto of github.com/onnx/onnx).
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
GRAPH, FUNCTIONS = 7, 25  # of a model
NODE, INITIALIZER, SPARSE = 1, 5, 15  # of a graph
ATTRIBUTE, DOMAIN = 5, 7  # of a node
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS = 5, 6, 10, 11  # of an attribute
EXTERNAL, LOCATION = 13, 14  # of a tensor
STANDARD = (b"", b"ai.onnx")  # domains of operators


def check_graph(data: bytes) -> None:
    """Raise ValueError, with what is wrong, unless a file holds a graph that may be run."""
    graphs = 0
    for number, value in _fields(memoryview(data)):
        if number == FUNCTIONS:
            raise ValueError("asks for operators of its own")
        if number == GRAPH:
            graphs += 1
            for kind, part in _fields(_bytes(value)):
                if kind == NODE:
                    _check_node(_bytes(part))
                elif kind == INITIALIZER:
                    _check_tensor(_bytes(part))
                elif kind == SPARSE:
                    raise ValueError("holds sparse tensors")
    if graphs != 1:
        raise ValueError("is no ONNX graph")


def _check_node(node: memoryview) -> None:
    for number, value in _fields(node):
        if number == DOMAIN and bytes(_bytes(value)) not in STANDARD:
            raise ValueError("asks for operators that are not standard")
        if number == ATTRIBUTE:
            for kind, part in _fields(_bytes(value)):
                if kind in (SUBGRAPH, SUBGRAPHS):
                    raise ValueError("holds graphs inside its graph")
                if kind in (TENSOR, TENSORS):
                    _check_tensor(_bytes(part))


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == EXTERNAL or (number == LOCATION and value != 0):
            raise ValueError("asks for data outside of it")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            size, place = _varint(data, place)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError("is damaged")
        if size > len(data) - place:
            raise ValueError("is damaged")
        yield tag >> 3, data[place : place + size]
        place += size


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


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("is damaged")
    return value
