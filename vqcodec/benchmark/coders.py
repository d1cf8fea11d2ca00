"""What a benchmark sets side by side: the codec, its network run plainly, and image formats."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vqcodec.codec.image import ImageCodec
from vqcodec.media.image import Image
from vqcodec.models.nn.pixels import to_pixels
from vqcodec.models.pretrained import load_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

PLAIN, JPEG, WEBP, AVIF = "plain network", "JPEG", "WebP, method 6", "AVIF, speed 4"


@dataclass(frozen=True)
class Coder:
    """One way to code a picture.

    Attributes:
        encode: takes nothing, returns what `decode` and `size` take.
        decode: returns pixels, (H, W, 3).
        size: returns bytes of a file, header included, or None where there is no file.
    """

    encode: Callable[[], Any]
    decode: Callable[[Any], "Pixels"]
    size: Callable[[Any], int | None]


def ours(kind: str) -> str:
    """Return the name under which the codec appears: with onnx, or torch in bf16 or fp32."""
    return f"vqcodec, {kind}"


def kind_of(codec: ImageCodec) -> str:
    """Return the engine of a codec if that is onnx, or else its precision."""
    return codec.precision if codec.engine.name == "torch" else codec.engine.name


def coders(codec: ImageCodec, image: Image, threads: int) -> dict[str, Coder]:
    """Return every coder of a picture by its name, the codec as it is first."""
    codecs = {kind_of(codec): codec}
    for precision in ("auto", "fp32"):
        torchs = type(codec)(codec.weights, "auto", precision, "torch")
        codecs.setdefault(kind_of(torchs), torchs)
    found = {ours(kind): _codec(one, image) for kind, one in codecs.items()}
    return {
        **found,
        # of weights that refine there is no network that codes and decodes
        **({} if codec.weights.refiner else {PLAIN: _plain(codec, image)}),
        **quick_formats(image),
        AVIF: _avif(image, threads),
    }


def quick_formats(image: Image) -> dict[str, Coder]:
    """Return the formats that take seconds, not minutes, on the largest pictures."""
    return {JPEG: _format(image, "JPEG"), WEBP: _format(image, "WEBP", method=6)}


def _avif(image: Image, threads: int) -> Coder:
    return _format(image, "AVIF", speed=4, max_threads=threads)


def _codec(codec: ImageCodec, image: Image) -> Coder:
    return Coder(
        lambda: codec.encode(image),
        lambda codes: codec.decode(codes).pixels,
        lambda codes: len(codes.to_bytes(".vqc")),
    )


def _plain(codec: ImageCodec, image: Image) -> Coder:
    """Run the network as a notebook would: float32, contiguous, whole, with autograd's records."""
    import numpy as np

    model = load_model(codec.weights)
    height, width = image.size
    padding = ((0, -height % codec.stride), (0, -width % codec.stride), (0, 0))
    filled = np.pad(image.pixels, padding, mode="edge")

    def encode() -> tuple[torch.Tensor, ...]:
        x = torch.from_numpy(filled).permute(2, 0, 1)[None].contiguous().float().div(127.5).sub(1)
        return model.encode(x.requires_grad_())

    def decode(indices: tuple[torch.Tensor, ...]) -> "Pixels":
        x = to_pixels(model.decode(indices))[0, :, :height, :width]
        pixels: Pixels = x.permute(1, 2, 0).contiguous().numpy()
        return pixels

    return Coder(encode, decode, lambda indices: None)


def _format(image: Image, kind: str, **options: int) -> Coder:
    """Use a format as Pillow does, at its usual quality."""
    import numpy as np
    from PIL import Image as Pillow

    picture: Pillow.Image = image.to_pillow()

    def encode() -> bytes:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    def decode(data: bytes) -> "Pixels":
        return np.asarray(Pillow.open(io.BytesIO(data)))

    return Coder(encode, decode, len)
