"""The table of the HTTP resources and of the models that their bodies are made of, for docs/generate.py."""

import ast
import inspect
import textwrap
import types
from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.markdown import members_table, one_line, snake, span, table
from relay.web.call import Route, Signing
from relay.web.routes import ROUTES
from relay.wire.prekeys import PrekeyKind
from relay.wire.resources import Problem

SIGNED: Final = {
    Signing.NONE: "no",
    Signing.OPTIONAL: "or a delivery token",
    Signing.REQUIRED: "yes",
    Signing.STREAMED: "yes, `streamed`",
}
PLAIN: Final = {str: "string", int: "integer", float: "number", bool: "true or false"}


def routes_table() -> str:
    """Every resource, then every model in the order in which they are first needed."""
    rows = [
        [f"`{route.method} {shown_path(route)}`", SIGNED[route.signing], *bodies_of(route), route.summary]
        for route in ROUTES
    ]
    named = [model for route in ROUTES for model in (route.request, route.answer) if model] + [Problem]
    models = "".join(model_table(model) for model in with_parts(named))
    models += f"\n#### prekey_kind\n\n{one_line(PrekeyKind)}\n\n{members_table(PrekeyKind)}"
    return table(["resource", "signed", "request", "answer", ""], rows) + models


def shown_path(route: Route) -> str:
    """The path with its query."""
    return route.path + ("?" + "&".join(f"{name}=" for name in route.query) if route.query else "")


def bodies_of(route: Route) -> tuple[str, str]:
    """What goes there and what comes back: the model or media type, the headers, the status."""
    headers = [f"`{name}`" for name in route.request_headers]
    request = (
        [link_to(route.request)]
        if route.request
        else [f"`{route.request_media}`"]
        if route.request_media
        else []
    )
    answer = (
        link_to(route.answer) if route.answer else f"`{route.answer_media}`" if route.answer_media else ""
    )
    return ", ".join(request + headers) or "–", f"{route.status} {answer}".strip()


def link_to(model: type) -> str:
    """A link to where the type is described."""
    name = snake(model.__name__)
    return f"[{name}](#{name})"


def with_parts(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """The models and those their fields are made of, each once."""
    found: list[type[BaseModel]] = []
    waiting = list(models)
    while waiting:
        model = waiting.pop(0)
        if model not in found:
            found.append(model)
            parts = [part for field in model.model_fields.values() for part in models_in(field.annotation)]
            waiting[:0] = parts
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def model_table(model: type[BaseModel]) -> str:
    """One model: its fields in order, with a word for each where the code has one."""
    remarks = field_remarks(model)
    rows = [
        [f"`{name}`", json_form(field), "yes" if field.is_required() else "–", remarks.get(name, "")]
        for name, field in model.model_fields.items()
    ]
    return f"\n#### {snake(model.__name__)}\n\n{one_line(model)}\n\n" + table(
        ["field", "JSON", "needed", ""], rows
    )


def field_remarks(model: type[BaseModel]) -> dict[str, str]:
    """The string that stands under a field in the source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body  # type: ignore[attr-defined]  # a class
    remarks = {}
    for field, below in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            remarks[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return remarks


def json_form(field: FieldInfo) -> str:
    """What a field looks like in JSON."""
    return form(field.annotation, tuple(field.metadata))


def form(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """The JSON form of an annotation with what bounds it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return form(arguments[0], flat(arguments[1:]))
    if origin in (Union, types.UnionType):
        return " or ".join("null" if choice is type(None) else form(choice, metadata) for choice in arguments)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    low, high = bounds(metadata)
    if origin is list:
        count = f"{span(low, high)} × " if high is not None else ""
        return f"array of {count}{form(arguments[0])}"
    if origin is dict:
        return f"object, {form(arguments[0])} to {form(arguments[1])}"
    if annotation is bytes:
        return f"base64url, {span(low, high)} B" if high is not None else "base64url"
    if issubclass(annotation, IntEnum | BaseModel):
        return link_to(annotation)
    bounded = f" {span(low, high)}" if annotation is int and high is not None else ""
    return PLAIN[annotation] + bounded


def flat(metadata: Iterable[Any]) -> tuple[Any, ...]:
    """The metadata, with what a Field() carries taken out of it."""
    return tuple(
        part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])
    )


def bounds(metadata: Iterable[Any]) -> tuple[int | None, int | None]:
    """Least and most of a length or a value."""
    low = high = None
    for item in flat(metadata):
        match item:
            case MinLen(min_length=least) | Ge(ge=least):
                low = int(least)  # type: ignore[call-overload]  # a bound of an int field
            case MaxLen(max_length=most) | Le(le=most):
                high = int(most)  # type: ignore[call-overload]  # a bound of an int field
    return low, high
