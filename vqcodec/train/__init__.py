"""Training: one loop over a task. Needs the extra `vqcodec[train]`."""
