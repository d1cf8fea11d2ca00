"""What training knows of pictures."""

from vqcodec.train.image.codes import PriorData, prepare
from vqcodec.train.run import Training

TRAINING = Training(
    PriorData,
    prepare,
    "the middle square of each picture, shrunk to {held_out_side}×{held_out_side}",
    """\
PSNR in dB is the mean over pictures, of decoders that draw over the first few. Bits per dimension
are those of the bound: the likelihood of the 8-bit values under the decoder plus log K for each
index, or the KL divergence of a VAE. Usage is the share of codes that occur; a latent is active
that says something. At a rate weight, bits per pixel are those of all maps and of the tint.""",
)
