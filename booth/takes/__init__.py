"""Takes on disk and the runs that make them."""
