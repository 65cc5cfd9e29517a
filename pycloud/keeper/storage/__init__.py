"""The files of script sessions: journals, logs, working directories.

Start with ``journal.py``; ``journal_store.py`` holds all journals in memory.
"""
