"""The wire protocol and the model of a session: messages, decoding, keys, validation, responses.

Pure: no I/O, no gevent, no Redis. Imports nothing of PyCloud but ``errors``. Start with ``messages.py``, beside
docs/protocol.md.
"""
