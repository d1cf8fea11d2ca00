"""An old name of `vqcodec.codec.rate`."""

from vqcodec.codec.rate import encode_to

__all__ = ["encode_to"]
