"""What sessions may be called, and what labels they may carry."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.requests import CreateRequest
from pycloud.protocol.validation import MAX_LABELS, MAX_LENGTH, is_name
from tests.support.decode import decode_request

LIMIT = 1 << 20


def create(**fields: object) -> CreateRequest:
    """What a create with these fields is decoded to."""
    payload = json.dumps({"id": "r", "script": "x", **fields}).encode()
    request = decode_request("create", payload, LIMIT)
    assert isinstance(request, CreateRequest)
    return request


@pytest.mark.parametrize("name", ["web", "web-1", "g", "Game_7.eu", "cafe-1", "0x", "deadbeefg", "w" * MAX_LENGTH])
def test_a_good_name_is_taken_as_it_is(name: str) -> None:
    assert create(name=name).name == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "1 to 63"),
        ("cafe", "session id"),
        ("CAFE", "session id"),
        ("42", "session id"),
        ("a" * 20, "session id"),
        ("-web", "begin with"),
        (".web", "begin with"),
        ("a b", "letters, digits"),
        ("web\n", "letters, digits"),
        ("wéb", "letters, digits"),
        ("web*", "letters, digits"),
        ("a/b", "letters, digits"),
        ("w" * (MAX_LENGTH + 1), "1 to 63"),
        (7, "a string"),
        (["web"], "a string"),
    ],
)
def test_a_bad_name_is_refused_and_said_why(name: object, why: str) -> None:
    with pytest.raises(RejectedRequest) as refused:
        create(name=name)
    assert refused.value.error.code == "bad_request"
    assert "`name`" in refused.value.error.message
    assert why in refused.value.error.message


@given(st.text("0123456789abcdef", max_size=25))
def test_nothing_that_may_be_the_beginning_of_an_id_is_a_name(text: str) -> None:
    assert not is_name(text)


def test_good_labels_are_taken_as_they_are() -> None:
    labels = {"app": "shop", "example.org/tier": "", "a": "ü = 1", **{f"k{n}": "v" for n in range(MAX_LABELS - 3)}}
    assert create(labels=labels).labels == labels


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({f"k{n}": "" for n in range(MAX_LABELS + 1)}, "the limit is 16"),
        ({"": "v"}, "''"),
        ({"a b": "v"}, "'a b'"),
        ({"-a": "v"}, "'-a'"),
        ({"k" * (MAX_LENGTH + 1): "v"}, "1 to 63"),
        ({"a": "v" * (MAX_LENGTH + 1)}, "at most 63"),
        ({"a": "new\nline"}, "printable"),
        ({"a": 1}, "a string"),
        (["a"], "an object"),
        (None, "an object"),
    ],
)
def test_bad_labels_are_refused_and_said_why(labels: object, why: str) -> None:
    with pytest.raises(RejectedRequest) as refused:
        create(labels=labels)
    assert refused.value.error.code == "bad_request"
    assert "`labels`" in refused.value.error.message
    assert why in refused.value.error.message


def test_a_create_without_either_has_neither() -> None:
    request = create()
    assert (request.name, request.labels) == (None, {})
    assert create(name=None).name is None
