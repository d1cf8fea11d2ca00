"""What is measured of a recording in another's voice."""

from vqcodec.metrics.measure import Measure
from vqcodec.metrics.speech import CER, WER

TO_TARGET = Measure("similarity-target", "similarity to target", "", 3)
TO_SOURCE = Measure("similarity-source", "similarity to source", "", 3)
WORDS = Measure(WER.key, WER.label, "", 3)
CHARACTERS = Measure(CER.key, CER.label, "", 3)
OWN_WORDS = Measure("wer-source", "WER of the source", "", 3)
PITCH = Measure("f0", "median F0", "Hz", 0)
OFFSET = Measure("f0-offset", "F0 off target", "semitones", 1)
DISTANCE = Measure("mcd", "MCD", "dB", 2)
BEFORE = Measure("mcd-source", "MCD of the source", "dB", 2)
MEASURES = (*(TO_TARGET, TO_SOURCE, WORDS, OWN_WORDS, CHARACTERS, PITCH, OFFSET, DISTANCE, BEFORE),)
EXPLAINED = {
    TO_TARGET.key: "cosine between the embedding (Resemblyzer) and the mean one of the target's "
    "own recordings",
    TO_SOURCE.key: "the same of the recordings of whoever spoke",
    WORDS.key: "edits per word from the text, or where none is known from what is read in the "
    "source, to what Moonshine tiny reads in the converted, English only; lower is better",
    OWN_WORDS.key: "edits per word from the text, where it is known, to what is read in the source",
    CHARACTERS.key: "WER in characters",
    PITCH.key: "median fundamental frequency",
    OFFSET.key: "semitones between it and the target's, either way",
    DISTANCE.key: "mel-cepstral distance, after warping in time, to the target's own reading of "
    "the sentence, where there is one (of the same text, or where none is known of the same file "
    "name); lower is better",
    BEFORE.key: "the same of the source before conversion",
}
