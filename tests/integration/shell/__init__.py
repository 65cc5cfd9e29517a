"""pycloudctl as a process, with a fake node behind it."""
