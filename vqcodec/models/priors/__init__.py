"""Priors: p(indices), to code and to sample index maps. One file each, named by its `kind`."""
