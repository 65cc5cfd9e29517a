"""``python3 -m pycloud.shell`` is ``pycloudctl``."""

import sys

from pycloud.shell.main import main

sys.exit(main())
