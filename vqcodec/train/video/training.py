"""What training knows of videos."""

from vqcodec.train.run import Training
from vqcodec.train.video.frames import FramesData, prepare

TRAINING = Training(
    FramesData,
    prepare,
    "8 frames of the middle of videos, cut to squares, the first of which is a picture",
    """\
PSNR in dB is the mean over frames, first ones included. Bits per pixel are those of all maps at a
rate weight. Usage is the share of codes that occur.""",
)
