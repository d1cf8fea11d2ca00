"""What training knows of speech."""

from vqcodec.train.run import Training
from vqcodec.train.speech.rows import RowData, prepare

TRAINING = Training(
    RowData,
    prepare,
    "the middle three seconds of each recording",
    """\
Mel distance is the mean absolute difference of mel spectra in dB (80 bands), with the decoder that
was trained along; STOI is between 0 and 1. Usage is the share of codes that occur.""",
)
