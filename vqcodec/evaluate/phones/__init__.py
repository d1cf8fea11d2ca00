"""What codes know of phones and speakers."""
