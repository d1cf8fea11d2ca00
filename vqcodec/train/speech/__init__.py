"""Training on speech."""
