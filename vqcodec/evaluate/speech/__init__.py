"""How well speech survives a codec. Signals are mono, at 16 kHz, (T,)."""
