"""The shell pycloudctl. One table of commands (``dispatch/table.py``) serves one-shot use, prompt, help and completion.

Begin with ``main.py``. Not monkey-patched; loads neither gevent nor docker nor any module of the daemon, and
prompt_toolkit only for the prompt and ``top``.
"""
