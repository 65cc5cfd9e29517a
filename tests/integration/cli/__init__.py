"""``pycloud/cli`` with real processes and servers."""
