"""Bottlenecks without codes: what a VQ-VAE is compared with. One file each, named by its `kind`."""
