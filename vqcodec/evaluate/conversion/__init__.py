"""Converted voices."""
