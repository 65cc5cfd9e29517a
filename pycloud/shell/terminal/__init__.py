"""The terminal: output, exit codes, progress, redrawing, signals. Sends no requests. Begin with ``output.py``."""
