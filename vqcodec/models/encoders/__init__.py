"""Encoders: a signal to vectors `z_e` on a coarse grid. One file each, named by its `kind`."""
