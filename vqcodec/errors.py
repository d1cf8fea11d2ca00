"""The errors that vqcodec raises on purpose; the command line turns each into one sentence."""


class VqcodecError(Exception):
    """Base of every error that a user can cause and can mend."""


class UsageError(VqcodecError):
    """The request itself makes no sense: a bad option, a bad setting, a bad combination."""


class MediaError(VqcodecError):
    """A picture or sound file cannot be read, written or coded."""


class FormatError(VqcodecError):
    """A code file is truncated, damaged, foreign, or from a newer version."""


class WeightsError(VqcodecError):
    """Weights are missing, damaged, or not those that a code file was made with."""


class TrainingError(VqcodecError):
    """A training run cannot start or cannot go on."""


class OutputError(VqcodecError):
    """An output exists already or cannot be written."""
