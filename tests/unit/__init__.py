"""Single parts, without other processes."""
