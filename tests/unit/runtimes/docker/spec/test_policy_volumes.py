"""Paths of the host: below those that the operator opened, wherever they lead, and written only where that is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycloud.errors import BadRequest, NotAllowed
from pycloud.runtimes.docker.spec.options import validate_options
from pycloud.runtimes.docker.spec.policy import AllowedSource, Policy


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with maps to read, worlds to write, secrets, and links of all kinds between them."""
    for folder in ("maps/big", "worlds/one", "secret", "maps-secret", "maps/a:b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "secret" / "key").touch()
    for link, target in (("maps/out", "../secret"), ("maps/in", "big"), ("maps/up", ".."), ("maps/root", "/")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "maps/loop").symlink_to("loop")
    (tmp_path / "alias").symlink_to("maps")
    return tmp_path


def policy_of(host: Path) -> Policy:
    """Maps may be read, worlds written, and one volume is open."""
    opened = AllowedSource(f"{host}/maps", True), AllowedSource(f"{host}/worlds", False), AllowedSource("shared", True)
    return Policy(volumes=opened)


def mounted(policy: Policy, source: str, read_only: bool = True) -> set[str]:
    """What the engine is told to mount for ``source``, in each of the ways to ask for it. Raises NotAllowed."""
    mode = "ro" if read_only else "rw"
    kind = "bind" if source.startswith("/") else "volume"
    asked: tuple[dict[str, Any], ...] = (
        {"volumes": [f"{source}:/x:{mode}"]},
        {"volumes": {source: {"bind": "/x", "mode": mode}}},
        {"volumes": {source: {"bind": "/x", "ro": read_only}}},
        {"mounts": [{"type": kind, "source": source, "target": "/x", "read_only": read_only}]},
    )
    found: set[str] = set()
    errors: list[Exception] = []
    for options in asked:
        try:
            found |= {mount.source for value in policy.permitted(validate_options(options)).values() for mount in value}
        except (NotAllowed, BadRequest) as error:
            errors.append(error)
    if errors:
        assert len(errors) == len(asked)
        raise errors[0]
    return found


def test_what_is_below_an_open_path_is_mounted_where_it_really_is(host: Path) -> None:
    policy = policy_of(host)
    for source in (
        "maps",
        "maps/",
        "maps/big",
        "maps/in",
        "maps/big/../big",
        "alias/big",
        "secret/../maps",
        "worlds/one",
    ):
        assert mounted(policy, f"{host}/{source}") == {str((host / source).resolve())}
    assert mounted(policy, f"{host}/maps/in") == {f"{host}/maps/big"}
    assert mounted(policy, f"{host}/worlds/one", read_only=False) == {f"{host}/worlds/one"}
    assert mounted(policy, "shared") == {"shared"}


@pytest.mark.parametrize(
    "source",
    [
        *("", "/..", "/secret", "/secret/key", "/maps/out", "/maps/out/key", "/maps/../secret", "/maps/up/secret"),
        *(
            "/maps/root",
            "/maps/root/etc",
            "/maps/loop",
            "/maps-secret",
            "/maps/big/../../secret",
            "/maps/none",
            "/none",
        ),
        *("/worlds/../secret", "/maps/up", "/map", "/alias/out"),
    ],
)
def test_what_leads_elsewhere_is_refused_and_no_word_said_of_what_is_there(host: Path, source: str) -> None:
    with pytest.raises(NotAllowed) as error:
        mounted(policy_of(host), f"{host}{source}")
    assert error.value.message.endswith(
        f"{host}{source} is not an existing path below those that are allowed on this node (docker.volumes)"
    )


@pytest.mark.parametrize("source", ["/", "/etc", "/proc/self/root", "/var/run/docker.sock", "//etc", "/./etc", "other"])
def test_the_rest_of_the_host_is_refused(host: Path, source: str) -> None:
    with pytest.raises(NotAllowed, match=r"docker\.volumes"):
        mounted(policy_of(host), source)


def test_what_is_open_to_read_is_not_written(host: Path) -> None:
    for source in (f"{host}/maps", f"{host}/maps/big", "shared"):
        with pytest.raises(NotAllowed, match="read-only"):
            mounted(policy_of(host), source, read_only=False)
    with pytest.raises(NotAllowed, match="read-only"):  # docker-py's default is to write
        policy_of(host).permitted(validate_options({"volumes": [f"{host}/maps:/x"]}))


def test_the_wider_of_two_openings_counts(host: Path) -> None:
    policy = Policy(volumes=(AllowedSource(f"{host}/maps", True), AllowedSource(f"{host}/maps/big", False)))
    assert mounted(policy, f"{host}/maps/big", read_only=False) == {f"{host}/maps/big"}
    with pytest.raises(NotAllowed):
        mounted(policy, f"{host}/maps", read_only=False)


def test_a_path_that_the_engine_would_split_is_refused(host: Path) -> None:
    (host / "maps" / "colon").symlink_to("a:b")
    for source in ("maps/a:b", "maps/colon"):
        with pytest.raises((NotAllowed, BadRequest)):
            mounted(policy_of(host), f"{host}/{source}")


def test_an_open_path_may_be_a_link_or_not_be_there_yet(host: Path) -> None:
    assert mounted(Policy(volumes=(AllowedSource(f"{host}/alias", True),)), f"{host}/maps/big") == {f"{host}/maps/big"}
    later = Policy(volumes=(AllowedSource(f"{host}/later", True),))
    with pytest.raises(NotAllowed):
        mounted(later, f"{host}/later")
    (host / "later").mkdir()
    assert mounted(later, f"{host}/later") == {f"{host}/later"}
    assert mounted(Policy(volumes=(AllowedSource("/", True),)), f"{host}/secret") == {f"{host}/secret"}


parts = st.sampled_from(
    ["..", ".", "", "maps", "big", "in", "out", "up", "root", "secret", "key", "alias", "worlds", "one"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(parts, max_size=7), st.booleans())
def test_no_path_leads_out(host: Path, path: list[str], read_only: bool) -> None:
    source = "/".join((str(host), *path))
    real = Path(source).resolve()
    try:
        found = mounted(policy_of(host), source, read_only)
    except NotAllowed:
        assert not real.is_relative_to(host / "worlds") or not Path(source).exists()
    else:
        assert found == {str(real)}
        assert real.is_relative_to(host / "worlds") or (read_only and real.is_relative_to(host / "maps"))


@given(st.text(st.characters(exclude_characters=":"), min_size=1))
def test_any_source_is_refused_where_nothing_is_open(source: str) -> None:
    with pytest.raises((NotAllowed, BadRequest)):
        mounted(Policy(), source)
