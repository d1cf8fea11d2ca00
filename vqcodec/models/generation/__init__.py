"""Drawing samples from a WaveNet, one step after the other, with all that can be kept kept."""
