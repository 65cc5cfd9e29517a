"""The interactive prompt: editing, completion, notifications, toolbar. Loads prompt_toolkit.

Start with ``prompt.py``.
"""
