"""Training on videos: a prior of successive frames."""
