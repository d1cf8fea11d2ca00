"""Integers to bytes and back. NumPy only, exact."""
