"""The keeper as a process."""
