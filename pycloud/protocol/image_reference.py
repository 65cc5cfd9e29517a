"""Names of container images: validation, full form, and patterns. Pure.

A reference is [HOST/]PATH[:TAG][@DIGEST]. The defaults are the engine's: without a host it is on Docker Hub, a path of
one component there is an official image, and without tag and digest the tag is ``latest``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DOCKER_HUB, DOCKER_HUB_ALIAS, OFFICIAL_NAMESPACE = "docker.io", "index.docker.io", "library"
MAX_NAME_LENGTH = 255
#: For messages.
EXAMPLE_IMAGE = "year4000/pycloud:1.2"
_INVALID = f"is not a valid image reference, as in {EXAMPLE_IMAGE}"
#: Characters of the longest reference: name, tag (128) and digest, with their separators.
MAX_REFERENCE_LENGTH = 600

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
_REFERENCE = re.compile(rf"([^@]*?)(?::({_TAG}))?(?:@({_DIGEST}))?")
_ONLY_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageReference:
    """An image by its full name. A digest takes precedence over the tag."""

    host: str
    path: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Host and path."""
        return f"{self.host}/{self.path}"


def parse_reference(text: str) -> ImageReference:
    """Parse ``text`` as an image reference. Raises ValueError with a reason that completes "the image ...".

    Image ids are rejected: they would bypass every pattern.
    """
    found = _REFERENCE.fullmatch(text) if len(text) <= MAX_REFERENCE_LENGTH else None
    if found is None or _ONLY_HEX.fullmatch(text):
        raise ValueError(_INVALID)
    name, tag, digest = found.groups()
    host, path = _host_and_path(name)
    if not re.fullmatch(_HOST, host) or not re.fullmatch(_PATH, path):
        lower = " (image names are lower case)" if path != path.lower() else ""
        raise ValueError(f"{_INVALID}{lower}")
    if len(host) + 1 + len(path) > MAX_NAME_LENGTH:
        raise ValueError(f"has a name of more than {MAX_NAME_LENGTH} characters")
    return ImageReference(host, path, tag or (None if digest else "latest"), digest)


def is_reference(text: str) -> bool:
    """Whether ``text`` is a valid image reference."""
    try:
        parse_reference(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class ImagePattern:
    """A pattern of images. ``tag`` and ``digest`` are None where the pattern has none."""

    name: re.Pattern[str]
    tag: re.Pattern[str] | None
    digest: re.Pattern[str] | None

    def matches(self, image: ImageReference) -> bool:
        """Whether ``image`` matches. A pattern without tag and digest matches all tags and digests.

        An image with a digest is identified by the digest: no pattern with a tag matches it.
        """
        if not self.name.fullmatch(image.name):
            return False
        if self.digest is not None:
            return image.digest is not None and self.digest.fullmatch(image.digest) is not None
        if self.tag is not None:
            return image.digest is None and image.tag is not None and self.tag.fullmatch(image.tag) is not None
        return True


def parse_pattern(text: str) -> ImagePattern:
    """Parse a pattern, as in ``year4000/*`` or ``registry.example/team/**:1.*``. Raises ValueError with a reason.

    ``*`` matches anything but a slash, ``**`` anything including slashes, except in the host. ``**`` alone means all of
    Docker Hub, ``*`` alone its official images.
    """
    name, _, digest = text.partition("@")
    slash = name.rfind("/")
    colon = name.find(":", slash + 1)
    name, tag = (name[:colon], name[colon + 1 :]) if colon >= 0 else (name, "")
    host, path = _host_and_path(name)
    plain = [part.replace("**", "x").replace("*", "x") for part in (host, path, tag or "x")]
    if "**" in host or not is_reference("{}/{}:{}".format(*plain)) or (colon >= 0 and not tag):
        raise ValueError(f"{text!r} is not an image pattern, as in year4000/* or registry.example/team/**")
    if "@" in text and not re.fullmatch(r"sha(256|384|512):[0-9a-f*]+", digest):
        raise ValueError(f"{text!r} has no digest after its @, as in @sha256:0123...")
    return ImagePattern(_glob(f"{host}/{path}"), _glob(tag) if tag else None, _glob(digest) if digest else None)


def _host_and_path(name: str) -> tuple[str, str]:
    """Host and path with defaults, in the same way for references and patterns."""
    first, slash, rest = name.partition("/")
    if not slash or not (any(char in first for char in ".:") or first == "localhost"):
        first, rest = DOCKER_HUB, name
    if first == DOCKER_HUB_ALIAS:
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest and rest != "**":
        rest = f"{OFFICIAL_NAMESPACE}/{rest}"
    return first, rest


def _glob(text: str) -> re.Pattern[str]:
    parts = (
        ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*\*|\*)", text)
    )
    return re.compile("".join(parts))
