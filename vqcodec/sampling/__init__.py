"""New index maps, drawn from a prior."""
