"""What training knows of videos."""

from vqcodec.train.run import Training
from vqcodec.train.video.frames import FramesData, prepare

TRAINING = Training(FramesData, prepare, "frames of each video", "Bits are those of an index.")
