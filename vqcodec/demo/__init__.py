"""A page that codes pictures in a browser."""
