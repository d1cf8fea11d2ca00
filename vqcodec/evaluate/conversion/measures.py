"""What is measured of a recording in another's voice."""

from vqcodec.metrics.measure import Measure

TO_TARGET = Measure("similarity-target", "similarity to target", "", 3)
TO_SOURCE = Measure("similarity-source", "similarity to source", "", 3)
READING = Measure("cer", "CER", "", 3)
PITCH = Measure("f0", "median F0", "Hz", 0)
OFFSET = Measure("f0-offset", "F0 off target", "semitones", 1)
DISTANCE = Measure("mcd", "MCD", "dB", 2)
BEFORE = Measure("mcd-source", "MCD of the source", "dB", 2)
MEASURES = (TO_TARGET, TO_SOURCE, READING, PITCH, OFFSET, DISTANCE, BEFORE)
EXPLAINED = {
    TO_TARGET.key: "cosine between the embedding (Resemblyzer) and the mean one of the target's "
    "own recordings",
    TO_SOURCE.key: "the same of the recordings of whoever spoke",
    READING.key: "edits per character between what pocketsphinx reads in the source and in the "
    "converted, English only; lower is better",
    PITCH.key: "median fundamental frequency",
    OFFSET.key: "semitones between it and the target's, either way",
    DISTANCE.key: "mel-cepstral distance, after warping in time, to the target's own reading of "
    "the sentence, where there is one (of the same text, or where none is known of the same file "
    "name); lower is better",
    BEFORE.key: "the same of the source before conversion",
}
