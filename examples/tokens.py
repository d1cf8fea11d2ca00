"""Pictures to tokens and back, with the Python interface."""

import sys

import numpy as np

from vqcodec import Codec, Image

codec = Codec.load("image-f4")
image = Image.open(sys.argv[1] if len(sys.argv) > 1 else "examples/kodim23.png")

codes = codec.encode(image)  # a picture of any size
print("one picture:", codes.grids[0].shape, codes.grids[0].dtype, "codebook", codec.codebook_sizes)
print(
    "bytes raw, .npz, .vqc:",
    image.pixels.nbytes,
    *(len(codes.to_bytes(s)) for s in (".npz", ".vqc")),
)

batch = np.stack([image.pixels[:128, x : x + 128] for x in range(0, 256, 64)])
(tokens,) = codec.encode_batch(batch)  # uint8 (N, H, W, 3) to uint16 (N, H / 4, W / 4)
print("a batch:", batch.shape, "->", tokens.shape)
print("and back:", codec.decode_batch((tokens,)).shape)
