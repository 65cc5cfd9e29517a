"""The container runtime's parts, without an engine."""
