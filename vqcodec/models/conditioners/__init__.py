"""Who speaks: vectors that tell decoders of speech whose voice to use."""
