"""What a voice is made of, and how to give one to a recording."""
