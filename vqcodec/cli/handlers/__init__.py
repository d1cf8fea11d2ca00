"""What the command line does with one kind of medium."""
