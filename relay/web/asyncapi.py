"""`/v1/asyncapi.json`: an AsyncAPI 3.0 description of the WebSocket, made from the frames themselves, so neither can drift."""

import json
from importlib.metadata import version
from typing import Any, Final

import msgspec
from aiohttp import web

from relay.wire.codec import SUBPROTOCOL
from relay.wire.frames import CLIENT_FRAMES, RELAY_FRAMES

from .call import Call

PATH: Final = "/v1/connect"
_SCHEMAS: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = (
    "The frames between a client and a TokenIM relay; docs/protocol.md says what each means and in which order they come. "
    f"A message of the WebSocket (subprotocol {SUBPROTOCOL}) is one MessagePack array of frames; a frame is an array that "
    "begins with its number. Schemas describe what the MessagePack stands for, with byte strings as base64."
)


def _draft_7(schema: object, names: tuple[str, ...] = ()) -> Any:
    """The schema with tuples as JSON Schema draft 7 has them, which AsyncAPI is built on; `names`: of a tuple's places."""
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _draft_7(each) for key, each in schema.items() if key != "prefixItems"}
    if (places := schema.get("prefixItems")) is not None:
        made["items"] = [
            {"title": name, **_draft_7(place)} if "$ref" not in place else {"title": name, "allOf": [place]}
            for name, place in zip(names, places, strict=True)
        ]
        made["additionalItems"] = False
    return made


def _places() -> dict[str, tuple[str, ...]]:
    """What stands where in each array, by the name of its schema."""
    found: dict[str, tuple[str, ...]] = {}
    for frame in (*CLIENT_FRAMES, *RELAY_FRAMES):
        found[frame.__name__] = ("frame", *frame.__struct_fields__)
        for field in msgspec.structs.fields(frame):
            for inner in _structs_in(field.type):
                found[inner.__name__] = inner.__struct_fields__
    return found


def _structs_in(kind: Any) -> list[Any]:
    """The structs that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    parts = [*getattr(kind, "__args__", ()), *([kind.__origin__] if hasattr(kind, "__metadata__") else [])]
    return [inner for part in parts for inner in _structs_in(part)]


def describe_frames() -> dict[str, Any]:
    """The document."""
    frames = (*CLIENT_FRAMES, *RELAY_FRAMES)
    _, schemas = msgspec.json.schema_components(frames, ref_template=_SCHEMAS)
    places = _places()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "TokenIM relay",
            "version": version("tokenim"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/msgpack",
        "servers": {"relay": {"host": "chat.example", "protocol": "wss", "description": "Any relay."}},
        "channels": {
            "connect": {
                "address": PATH,
                "description": "One connection, of a device or of nobody.",
                "messages": {
                    each.__name__: {"$ref": f"#/components/messages/{each.__name__}"} for each in frames
                },
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "fromClient": _operation("receive", "What a relay takes.", CLIENT_FRAMES),
            "fromRelay": _operation("send", "What a relay sends.", RELAY_FRAMES),
        },
        "components": {
            "messages": {each.__name__: _message(each) for each in frames},
            "schemas": {name: _draft_7(schema, places.get(name, ())) for name, schema in schemas.items()},
        },
    }


def _operation(action: str, summary: str, frames: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/connect"},
        "messages": [{"$ref": f"#/channels/connect/messages/{each.__name__}"} for each in frames],
    }


def _message(frame: Any) -> dict[str, Any]:
    summary, _, rest = str(frame.__doc__).partition("\n")
    described = {"description": rest.strip()} if rest.strip() else {}
    return {
        "name": frame.__name__,
        "summary": summary,
        **described,
        "payload": {"$ref": _SCHEMAS.format(name=frame.__name__)},
    }


_BODY: Final = json.dumps(describe_frames(), separators=(",", ":")).encode()


async def asyncapi(_call: Call) -> web.StreamResponse:
    """GET /v1/asyncapi.json."""
    return web.Response(body=_BODY, content_type="application/json")
