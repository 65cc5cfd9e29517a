"""``pycloud/transport`` with real processes and servers."""
