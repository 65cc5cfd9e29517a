"""Records a first hour with pycloudctl from the real program: docs/first-hour.md, and shortened in README.md.

Run it as ``python -m tests.e2e.shell.recording`` (``make recording``). Ids, times and ports differ from run to run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from textwrap import fill

from tests.e2e.shell.scene_player import record
from tests.e2e.shell.scenes import SCENES, Scene
from tests.support.daemon import ROOT

PAGE, README = ROOT / "docs" / "first-hour.md", ROOT / "README.md"
#: What stands around the shortened recording in the README.
BEGIN, END = "<!-- recorded by make recording -->\n", "<!-- end of the recording -->\n"
PLACE = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
TOP = """# A first hour with pycloudctl

Recorded from the real program by `make recording`: a Redis, three nodes that use the names of three hosts, and
`pycloudctl` on a terminal. The output is unchanged, except that a data directory is shown at its usual path, and
several empty lines are reduced to one. [pycloudctl.md](pycloudctl.md) is the guide.
"""

Played = Sequence[tuple[Scene, Sequence[str]]]


def page(played: Played) -> str:
    """The whole recording as Markdown."""
    parts = [TOP]
    for scene, blocks in played:
        parts += [f"## {scene.heading}\n"] if scene.heading else []
        parts += [f"{fill(scene.prose, 120)}\n", *(fenced(block) for block in blocks)]
    return "\n".join(parts)


def shortened(played: Played) -> str:
    """What the README has of it: one block."""
    return fenced("\n".join(block for scene, blocks in played if scene.short for block in blocks))


def fenced(block: str) -> str:
    """A block of Markdown."""
    return f"```\n{block}\n```\n"


def recorded(readme: str) -> str:
    """The recording in the README. Raises ValueError where it has no place for one."""
    if found := PLACE.search(readme):
        return found[0]
    raise ValueError(f"{README.name} has no lines {BEGIN.strip()} and {END.strip()}")


def placed(readme: str, short: str) -> str:
    """The README with another recording in it. Raises ValueError where it has no place for one."""
    return readme.replace(BEGIN + recorded(readme) + END, BEGIN + short + END)


def main() -> None:
    """Play it all, then write both pages."""
    played = record(SCENES, lambda scene: print(scene.heading or "...", file=sys.stderr))
    PAGE.write_text(page(played), encoding="utf-8")
    README.write_text(placed(README.read_text(encoding="utf-8"), shortened(played)), encoding="utf-8")


if __name__ == "__main__":
    main()
