"""Settings: what sessions may be, and what containers may do."""

from __future__ import annotations

import pytest

from pycloud.config import enabled_runtimes
from tests.support.fake_machine import Machine


@pytest.mark.parametrize(
    ("runtime", "in_container", "socket", "kinds"),
    [
        ("auto", False, False, ("script",)),
        ("auto", False, True, ("script", "docker")),
        ("auto", True, False, ("script",)),
        ("auto", True, True, ("docker",)),
        ("script", True, True, ("script",)),
        ("docker", False, False, ("docker",)),
        ("docker,script", False, False, ("docker", "script")),
    ],
)
def test_runtime_kinds(
    machine: Machine, runtime: str, in_container: bool, socket: bool, kinds: tuple[str, ...]
) -> None:
    assert enabled_runtimes(machine.load(runtime=runtime), in_container, socket) == kinds


@pytest.mark.parametrize("runtime", ["", "swarm", "auto,script", "script,auto", "script,swarm"])
def test_what_a_runtime_may_not_be(machine: Machine, runtime: str) -> None:
    assert machine.refusal(runtime=runtime).startswith("flag --runtime: must be auto, or some of script, docker, not ")


def test_the_settings_of_containers_are_a_table_of_their_own(machine: Machine) -> None:
    machine.write(
        machine.own_file,
        """runtime = ["script", "docker"]
        [docker]
        allow = ["cap_add"]
        volumes = ["/srv/maps:ro"]
        images = ["year4000/*"]
        parallel = 4
        defaults = { mem_limit = "1g", environment = { A = "1" } }
        """,
    )
    config = machine.load(docker_images="other/*,third")
    assert config.runtime == ("script", "docker")
    assert (config.docker_allow, config.docker_volumes) == (("cap_add",), ("/srv/maps:ro",))
    assert config.docker_images == ("other/*", "third"), "a flag wins"
    assert config.docker_defaults == {"mem_limit": "1g", "environment": {"A": "1"}}
    assert machine.load(docker_defaults='{"tty": true}').docker_defaults == {"tty": True}
    assert "must be a JSON object" in machine.refusal(docker_defaults="{")
    assert "must be a table" in machine.refusal(docker_defaults="[]")
    machine.write(machine.own_file, "[docker]\nimage = []\n")
    assert machine.refusal().endswith("unknown key docker.image, did you mean docker.images?")
    machine.write(machine.own_file, "docker = 1\n")
    assert machine.refusal().endswith("docker: must be a table")
