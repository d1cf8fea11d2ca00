"""Quantizers: vectors `z_e` to indices and back. One file each, named by its `kind`."""
