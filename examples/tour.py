"""A tour of VQ-VAE: encode, look at the indices, decode, swap codes, find their neighbours.

Run it from the top of the repository: as a script, or cell by cell in an editor that knows `# %%`.
The model that it uses is small and comes with the package; no GPU is needed.
"""

# %%
import importlib
import sys

import numpy as np

from vqcodec import Codec, Image
from vqcodec.figures.codebook import CodebookChart
from vqcodec.metrics.basic import perplexity, psnr


def show(image: Image) -> None:
    """Show a picture below its cell, where there are cells; a script has nowhere to show it."""
    if "ipykernel" in sys.modules:
        importlib.import_module("IPython.display").display(image.to_pillow())


# %% [markdown]
# ## A picture becomes a map of integers
#
# The encoder, a network of strided convolutions, turns every square of 4×4 pixels into a vector of
# 16 numbers. The quantizer looks up which of the 512 vectors in its codebook is nearest, and keeps
# nothing but that one's index.

# %%
codec = Codec.load("image-f4")
picture = Image.open("examples/kodim23.png")
codes = codec.encode(picture)
(indices,) = codes.grids
print(f"pixels {picture.pixels.shape} became indices {indices.shape}, {indices.dtype}")
print("the first of them:", indices[0, :12])
show(picture)

# %% [markdown]
# ## Fewer bytes, whoever counts
#
# An index out of 512 takes nine bits, where the 48 values of its pixels take 384. A file adds a
# header; the `.npz` file is deflated as well.

# %%
print(f"as pixels:      {picture.pixels.nbytes:7,} bytes")
print(f"9 bits each:    {indices.size * 9 // 8:7,} bytes")
for suffix in (".vqc", ".npz"):
    print(f"{suffix} file:      {len(codes.to_bytes(suffix)):7,} bytes")

# %% [markdown]
# Not all codes occur equally often, and what is to come can be guessed from what came before. A
# smaller file would use that: the perplexity says how many codes are in use, in effect.

# %%
counts = np.bincount(indices.ravel(), minlength=512)
varied = perplexity(counts)
print(f"{(counts > 0).sum()} of 512 codes occur, perplexity {varied:.0f}")
print(f"so {np.log2(varied):.2f} bits would do for an index on its own, instead of 9")

# %% [markdown]
# ## And back
#
# The decoder sees nothing but the indices. What it paints is the mean of a density over pictures;
# what the indices do not tell, it can only guess, so fine texture comes back smooth.

# %%
decoded = codec.decode(codes)
print(f"PSNR {psnr(picture.pixels, decoded.pixels):.2f} dB")
show(decoded)

# %% [markdown]
# ## Neighbours in the codebook
#
# Training has moved the vectors of the codebook to where the encoder's outputs are. Codes whose
# vectors lie near each other stand for pixels that look alike. To see what a code stands for, fill
# a map with it and decode that.

# %%
codebook = CodebookChart.of(codec)
most = int(counts.argmax())
near, distances = codebook.nearest(most, 5)
everywhere = np.linalg.norm(codebook.vectors - codebook.vectors[most], axis=1)
print(f"code {most} decodes to the colour {codebook.patches[most].mean((0, 1)).round()}")
for code, distance in zip(near, distances, strict=True):
    colour = codebook.patches[code].mean((0, 1)).round()
    print(f"  code {code:3} is {distance:.2f} away and decodes to {colour}")
print(f"  the code that is farthest from it is {everywhere.max():.2f} away")

# %% [markdown]
# ## Swapping codes
#
# If that is so, the picture should survive when each code is replaced by its nearest neighbour, and
# not when it is replaced by any other.

# %%
neighbour = np.array([codebook.nearest(code, 1)[0][0] for code in range(512)], np.uint16)
anyone = np.random.default_rng(0).permutation(512).astype(np.uint16)
for name, table in (("its nearest neighbour", neighbour), ("a random code", anyone)):
    (swapped,) = codec.decode_batch((table[indices][None],))
    print(f"every code replaced by {name}: PSNR {psnr(picture.pixels, swapped):.2f} dB")
    show(Image(swapped))

# %% [markdown]
# ## Editing the map
#
# The map keeps the picture's layout: what is done to the indices is done to the pixels, as far as
# the decoder's reach of a few cells. Here the left half of the map is put where the right half was.

# %%
edited = indices.copy()
half = indices.shape[1] // 2
edited[:, half:] = indices[:, :half]
(mixed,) = codec.decode_batch((edited[None],))
twice = np.concatenate([decoded.pixels[:, : 4 * half]] * 2, axis=1)
print(f"PSNR against the decoded left half, twice: {psnr(twice, mixed):.2f} dB")
show(Image(mixed))

# %% [markdown]
# ## One code changed
#
# How far does one index reach? Change a single one, decode, and see which pixels differ.

# %%
row, column = indices.shape[0] // 2, indices.shape[1] // 2
edited = indices.copy()
edited[row, column] = (edited[row, column] + 256) % 512
(changed,) = codec.decode_batch((edited[None],))
rows, columns = np.nonzero((changed != decoded.pixels).any(-1))
print(f"its square: rows {4 * row}-{4 * row + 3}, columns {4 * column}-{4 * column + 3}")
print(f"what differs: rows {rows.min()}-{rows.max()}, columns {columns.min()}-{columns.max()}")

# %% [markdown]
# For a figure of all this: `vqcodec inspect examples/kodim23.png`.
