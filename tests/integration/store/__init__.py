"""``pycloud/store`` with real processes and servers."""
