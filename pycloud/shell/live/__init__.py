"""Current state of Redis, nodes and sessions, refreshed by threads so that the terminal does not wait for Redis."""
