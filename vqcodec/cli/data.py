"""What commands find in folders and tars that are named to them."""

from pathlib import Path

from vqcodec.errors import MediaError

PICTURES, SPEECH = "image-f4", "speech-64x"


def default_model(data: list[Path]) -> str:
    """Return the published weights for what there is: pictures, or else recordings."""
    from vqcodec.data.sources import find_sources

    for model, modality in ((PICTURES, "image"), (SPEECH, "audio")):
        try:
            find_sources(data, modality)
        except MediaError:
            continue
        return model
    return PICTURES  # who uses it says what is wrong
