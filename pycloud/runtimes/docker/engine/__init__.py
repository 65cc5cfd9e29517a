"""The container engine: the client, its events, images, containers, statistics and logs.

May use docker-py and gevent. Start with ``client.py``.
"""
