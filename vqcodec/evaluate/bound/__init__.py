"""Bounds on likelihoods, model beside model: `vqcodec evaluate --bound`."""
