"""``python3 -m pycloud.health``, the health check of container images: see ``cli/healthcheck.py``."""

import sys

from pycloud.cli.healthcheck import main

if __name__ == "__main__":
    sys.exit(main())
