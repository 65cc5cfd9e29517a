"""The terminal: output, exit codes, progress, signals. Knows nothing of sessions."""
