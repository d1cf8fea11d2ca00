"""What training knows of pictures."""

from vqcodec.train.image.codes import PriorData, prepare
from vqcodec.train.run import Training

TRAINING = Training(
    PriorData,
    prepare,
    "the middle square of each picture, shrunk to {held_out_side}×{held_out_side}",
    """\
PSNR in dB is the mean over pictures. Bits per dimension are those of the bound: the likelihood of
the 8-bit values under the decoder plus log K for each index, or of a VAE the KL divergence. Usage
is the share of codes that occur, and a latent is active that says something.""",
)
