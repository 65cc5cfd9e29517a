"""From a command line to a call: the table of commands, the parser, the runner; completion and manual page.

Start with ``table.py``: everything else is derived from it.
"""
