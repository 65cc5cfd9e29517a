"""What Redis holds, on each kind of server."""
