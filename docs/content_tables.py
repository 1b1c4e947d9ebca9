"""The tables of what is inside an envelope: the fields of contents and their bodies."""

import msgspec.inspect as shapes

from client import contents
from docs.markdown import number, span, table


def form(kind: shapes.Type) -> str:
    """The MessagePack form of a field."""
    match kind:
        case shapes.BytesType():
            return f"bin {span(kind.min_length, kind.max_length)} B"
        case shapes.StrType():
            return f"str {span(kind.min_length or 0, kind.max_length)} characters"
        case shapes.IntType():
            return f"int {span(kind.ge, kind.le)}"
        case shapes.NoneType():
            return "nil"
        case shapes.RawType():
            return "by type"
        case shapes.StructType():
            return kind.cls.__name__.lower()
        case shapes.UnionType():
            return " or ".join(form(choice) for choice in kind.types)
        case _:
            raise TypeError(f"no form is known for {kind}")


def _rows(cls: type) -> list[list[str]]:
    kind = shapes.type_info(cls)
    if not isinstance(kind, shapes.StructType):
        raise TypeError(f"{cls} is no array")
    return [
        [number(place), f"`{field.name}`", form(field.type)] for place, field in enumerate(kind.fields, 1)
    ]


def contents_table() -> str:
    """The array of a content, the introduction in it, and the bodies by type."""
    heads = ["#", "field", "MessagePack"]
    parts = [
        f"**{name}**\n\n{table(heads, _rows(cls))}"
        for name, cls in (("content", contents.Content), ("introduction", contents.Introduction))
    ]
    bodies = {
        contents.ContentType.EMPTY: "nil",
        contents.ContentType.TEXT: _body(contents.Text),
        contents.ContentType.FILE: _body(contents.FilePointer),
    }
    types = [[number(kind), f"`{kind.name.lower()}`", bodies[kind]] for kind in contents.ContentType]
    return "\n".join([*parts, table(["type", "", "body"], types)])


def _body(cls: type) -> str:
    return "array of " + "; ".join(f"{name} {shape}" for _, name, shape in _rows(cls))
