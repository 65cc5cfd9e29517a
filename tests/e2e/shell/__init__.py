"""pycloudctl on a terminal, or with a real daemon."""
