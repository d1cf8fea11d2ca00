"""An imagined world to walk through in a browser."""
