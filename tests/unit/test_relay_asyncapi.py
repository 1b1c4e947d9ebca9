"""The AsyncAPI description: valid as AsyncAPI 3.0 says, and true of every message of the vectors."""

import base64
import hashlib
import json
import re
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, ValidationError

from relay.web.asyncapi import describe_frames
from relay.wire.frames import CLIENT_FRAMES, RELAY_FRAMES
from tests.architecture.source import ROOT

SPECIFICATION = ROOT / "tests/vendored/asyncapi-3.0.0.json"
WIRE = json.loads((ROOT / "tests/vectors/wire.json").read_text(encoding="utf-8"))
DOCUMENT = describe_frames()
FRAMES = (*CLIENT_FRAMES, *RELAY_FRAMES)


def validator(name: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def as_json(value: object) -> Any:
    """What MessagePack stands for, with byte strings as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [as_json(each) for each in value] if isinstance(value, list) else value


def frames_of(message: str) -> list[list[Any]]:
    return as_json(msgspec.msgpack.decode(bytes.fromhex(message)))


def name_of(frame: list[Any]) -> str:
    return next(kind.__name__ for kind in FRAMES if kind.__struct_config__.tag == frame[0])


def test_it_is_an_asyncapi_3_document() -> None:
    kept = SPECIFICATION.read_bytes()
    told = re.search(r"`([0-9a-f]{64})`", (SPECIFICATION.parent / "README.md").read_text(encoding="utf-8"))
    assert told is not None
    assert told[1] == hashlib.sha256(kept).hexdigest()
    specification = Draft7Validator(json.loads(kept))
    assert [error.message for error in specification.iter_errors(DOCUMENT)] == []
    broken = {**DOCUMENT, "operations": {"fromClient": {"action": "whisper"}}}
    assert list(specification.iter_errors(broken))


def test_it_names_each_frame_once_and_says_who_sends_it() -> None:
    sent = {
        action: [reference["$ref"].rpartition("/")[2] for reference in operation["messages"]]
        for operation in DOCUMENT["operations"].values()
        for action in [operation["action"]]
    }
    assert sent == {
        "receive": [kind.__name__ for kind in CLIENT_FRAMES],
        "send": [kind.__name__ for kind in RELAY_FRAMES],
    }
    assert set(DOCUMENT["components"]["messages"]) == {kind.__name__ for kind in FRAMES}


@pytest.mark.parametrize("vector", WIRE["messages"], ids=lambda vector: "-".join(vector["frames"]))
def test_every_message_of_the_vectors_is_as_described(vector: dict[str, Any]) -> None:
    for frame in frames_of(vector["message"]):
        name = name_of(frame)
        validator(name).validate(frame)
        assert name in [
            kind.__name__ for kind in (CLIENT_FRAMES if vector["from"] == "client" else RELAY_FRAMES)
        ]
        for wrong in (
            [99, *frame[1:]],
            [*frame, *([None] * 9)],
            frame[:1] if len(frame) > 2 else [*frame, 1],
        ):
            with pytest.raises(ValidationError):
                validator(name).validate(wrong)


def test_all_frames_are_in_the_vectors() -> None:
    assert {name_of(frame) for vector in WIRE["messages"] for frame in frames_of(vector["message"])} == {
        kind.__name__ for kind in FRAMES
    }


def test_each_place_of_an_array_has_its_name() -> None:
    submit = DOCUMENT["components"]["schemas"]["Submit"]
    assert [place["title"] for place in submit["items"]][:3] == ["frame", "request_id", "envelope_id"]
    assert [place["title"] for place in DOCUMENT["components"]["schemas"]["Target"]["items"]] == [
        "device_id",
        "ciphertext",
        "grant",
    ]
    assert "prefixItems" not in json.dumps(DOCUMENT)
