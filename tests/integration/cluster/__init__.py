"""Several daemons on one Redis."""
