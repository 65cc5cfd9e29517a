"""Dockerfile, compose.yaml and .dockerignore agree with the code and with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pycloud
from pycloud.config.settings import settings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE, COMPOSE, IGNORED = ((ROOT / name).read_text() for name in ("Dockerfile", "compose.yaml", ".dockerignore"))


def test_the_image_has_the_version_of_what_is_in_it() -> None:
    assert re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE) == [pycloud.__version__]


def test_all_that_is_copied_is_sent_to_the_engine_and_nothing_else() -> None:
    copied = {
        name for names in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()
    }
    assert copied == set(re.findall(r"^!(.*)$", IGNORED, re.MULTILINE))
    assert all((ROOT / name).exists() for name in copied)


def test_every_setting_named_there_is_one() -> None:
    known = {setting.variable for setting in settings().values()}
    named = set(re.findall(r"\bPYCLOUD_[A-Z_]+", DOCKERFILE + COMPOSE))
    assert {"PYCLOUD_REDIS_URL", "PYCLOUD_DATA_DIR"} <= named <= known


def test_the_volume_is_the_data_directory() -> None:
    (data,) = re.findall(r"PYCLOUD_DATA_DIR=(\S+)", DOCKERFILE)
    assert re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE) == [data]
    assert f"- pycloud:{data}\n" in COMPOSE


def test_the_image_is_made_in_two_stages_on_a_base_that_is_an_argument() -> None:
    assert re.findall(r"^ARG BASE=", DOCKERFILE, re.MULTILINE) == ["ARG BASE="]
    assert re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE) == ["${BASE} AS build", "${BASE}"]


def test_the_redis_of_compose_keeps_its_data_and_asks_for_a_password_and_pycloud_has_the_socket() -> None:
    redis, pycloud_ = COMPOSE.split("\n  pycloud:\n", 1)
    assert '"--requirepass", "${REDIS_PASSWORD:?' in redis
    assert "- redis:/data\n" in redis
    assert "- /var/run/docker.sock:/var/run/docker.sock\n" in pycloud_
    assert "- ${DOCKER_GID:?" in pycloud_


def test_no_password_is_written_down() -> None:
    assert set(re.findall(r"redis://:([^@]*)@", DOCKERFILE + COMPOSE)) == {"${REDIS_PASSWORD}"}
