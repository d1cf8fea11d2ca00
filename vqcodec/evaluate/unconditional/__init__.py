"""Speech that nobody said: unconditional samples."""
