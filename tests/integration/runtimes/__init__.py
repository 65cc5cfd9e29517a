"""``pycloud/runtimes`` with real processes and servers."""
