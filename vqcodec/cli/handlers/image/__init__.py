"""Pictures on the command line."""
