"""Speech on the command line."""
