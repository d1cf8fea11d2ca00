"""Pictures, beside other codecs."""
