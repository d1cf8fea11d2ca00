"""Code files: `Codes` in memory, `.npz` and `.vqc` on disk. Never imports torch."""
