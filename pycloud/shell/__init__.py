"""pycloudctl: the shell. One table of commands (``commands.py``) serves one-shot use, the prompt, help and completion.

Never patched, loads neither gevent nor docker nor anything of the daemon, and prompt_toolkit only for the prompt.
"""
