"""Container sessions on a real engine."""
