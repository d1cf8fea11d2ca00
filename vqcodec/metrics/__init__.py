"""Measures of a signal and of what a codec made of it."""
