"""Decoders: code vectors `z_q` back to a signal. One file each, named by its `kind`."""
