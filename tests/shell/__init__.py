"""pycloudctl."""
