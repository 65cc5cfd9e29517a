"""A file system of the bench's own, where it may make one: ext4 with a journal, as most hosts have it.

Without a journal ext4 goes over every inode that was freed within the last minutes each time it needs one. A bench
makes and removes thousands of files a second, so that what was measured before would be most of what is measured next.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 4 << 30  # bytes, of which only those take room that are written
#: All of it is made at once: nothing is to be going on in it later.
OPTIONS = "lazy_itable_init=0,lazy_journal_init=0"


@contextmanager
def own_disk() -> Iterator[Path | None]:
    """Where it is mounted; None where that cannot be, which is said."""
    with tempfile.TemporaryDirectory(prefix="pycloud-bench-disk-") as folder:
        image, place = Path(folder, "image"), Path(folder, "mounted")
        place.mkdir()
        image.touch()
        os.truncate(image, SIZE)
        make = ["mkfs.ext4", "-q", "-F", "-E", OPTIONS, str(image)]
        if not (_works(*make) and _works("mount", "-o", "loop", str(image), str(place))):
            print(f"no file system of our own; what is measured lies in {tempfile.gettempdir()}", file=sys.stderr)
            yield None
            return
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def kind_of(place: Path) -> str:
    """What the file system is called that ``place`` lies on."""
    command = ["df", "--output=fstype", str(place)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def _works(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return False
    if done.returncode:
        print(done.stderr.strip(), file=sys.stderr)
    return done.returncode == 0
