"""One daemon on a real Redis."""
