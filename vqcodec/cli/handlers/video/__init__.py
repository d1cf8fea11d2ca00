"""Videos, as the command line sees them."""
