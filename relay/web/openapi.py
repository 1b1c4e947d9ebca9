"""`/v1/openapi.json`: an OpenAPI 3.1 description made from the route table and the models, so neither can drift."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from relay.wire.resources import Problem

from .call import LOG_TOKEN_HEADER, TOKEN_HEADER, Route, Signing

_REFERENCE: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = "The HTTP API of a TokenIM relay; docs/protocol.md says what each request means."
_SIGNED: Final[dict[str, list[str]]] = {"signed": []}


def _text(pattern: str) -> dict[str, str]:
    return {"type": "string", "pattern": f"^{pattern}$"}


_ID_32: Final = _text("[a-z2-7]{52}")  # 32 B in base32
_IN_PATH: Final[dict[str, dict[str, str]]] = {
    "account_id": _ID_32,
    "blob_id": _ID_32,
    "log_id": _ID_32,
    "link_id": _text("[a-z2-7]{26}"),  # 16 B
    "token_hash": _text("[A-Za-z0-9_-]{43}"),  # 32 B in base64url
    "handle": _text("[a-z0-9][a-z0-9._-]{2,31}"),
    "slot": _text("[a-z]{1,16}"),
    "name": _text("[a-z2-7]{1,32}"),
}
_HEADERS: Final[dict[str, tuple[bool, dict[str, str]]]] = {
    TOKEN_HEADER: (False, _text("[A-Za-z0-9_-]{22}")),  # 16 B in base64url
    LOG_TOKEN_HEADER: (True, _text("[A-Za-z0-9_-]{43}")),
    "Tus-Resumable": (True, _text("1\\.0\\.0")),
    "Upload-Length": (True, _text("[0-9]{1,12}")),
    "Upload-Offset": (True, _text("[0-9]{1,12}")),
}
"""Whether a header has to be there, and what it looks like; any other may be left out."""
_ANY: Final[tuple[bool, dict[str, str]]] = (False, {"type": "string"})
_BINARY: Final = {"type": "string", "format": "binary"}


def _models(routes: Sequence[Route]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {Problem: None}
    for route in routes:
        for model in (route.request, route.answer):
            if model is not None:
                found[model] = None
    return list(found)


def _schema(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _security(signing: Signing) -> list[dict[str, list[str]]]:
    match signing:
        case Signing.NONE:
            return []
        case Signing.OPTIONAL:
            return [{}, _SIGNED, {"token": []}]
        case Signing.REQUIRED | Signing.STREAMED:
            return [_SIGNED]


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _IN_PATH[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    in_query = [
        {"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0}} for name in route.query
    ]
    in_headers = [
        {"name": name, "in": "header", "required": required, "schema": schema}
        for name in route.request_headers
        for required, schema in [_HEADERS.get(name, _ANY)]
    ]
    return in_path + in_query + in_headers


def _operation(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        good["content"] = {"application/json": {"schema": _schema(route.answer)}}
    elif route.answer_media is not None:
        good["content"] = {
            route.answer_media: {} if route.answer_media == "application/json" else {"schema": _BINARY}
        }
    refused = {
        "description": "refused",
        "content": {"application/problem+json": {"schema": _schema(Problem)}},
    }
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "summary": route.summary,
        "security": _security(route.signing),
        "responses": {
            str(route.status): good,
            **{str(status): {"description": route.summary} for status in route.also},
            "4XX": refused,
            "5XX": refused,
        },
    }
    if route.signing is Signing.STREAMED:
        operation["x-signed-body"] = "streamed"  # that word is signed in the place of the body's hash
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(route.request)}},
        }
    elif route.request_media is not None:
        operation["requestBody"] = {"required": True, "content": {route.request_media: {"schema": _BINARY}}}
    return operation


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of these routes."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in _models(routes)], ref_template=_REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TokenIM relay", "version": version("tokenim"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "signed": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "TokenIM-Ed25519: a device's signature over the request (docs/protocol.md, Authentication)",
                },
                "token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
            },
        },
    }
