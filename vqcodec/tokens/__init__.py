"""Data sets as shards of indices: made exactly once, by one process or many, and read again."""

from vqcodec.tokens.reading import read, read_codes

__all__ = ["read", "read_codes"]
