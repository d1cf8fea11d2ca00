"""Evaluation on video."""
