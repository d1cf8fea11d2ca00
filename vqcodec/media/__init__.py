"""Media files to arrays and back. Never imports torch."""
