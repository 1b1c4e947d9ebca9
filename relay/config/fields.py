"""A field of the settings: its default, what it means, and whether it follows its sources while the relay runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo


def setting(default: object, description: str, *, reload: bool = False) -> Any:
    """A field of a settings model. `reload`: SIGHUP brings it into effect, and all that is in it; else the next start does."""
    return Field(default, description=description, json_schema_extra={"reload": reload})


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as documents and commands tell of it."""

    name: str
    """Dotted, as in `limits.mailbox_bytes`."""
    value: object
    description: str
    reload: bool
    allowed: str
    """Which values it takes, in words; empty if the description says all."""


def is_reloaded(field: FieldInfo) -> bool:
    """Whether SIGHUP brings the field into effect."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("reload"))


_BOUNDS: Final = {"ge": "from", "gt": "above", "le": "to"}
"""Of what pydantic keeps of a number's bounds."""


def allowed_by(field: FieldInfo) -> str:
    """Which values the field takes, in words: bounds of numbers, or all that there are."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f'"{each}"' for each in get_args(field.annotation))
    if field.annotation is bool:
        return "true, false"
    words = [
        f"{word} {getattr(bound, attribute)}"
        for bound in field.metadata
        for attribute, word in _BOUNDS.items()
        if getattr(bound, attribute, None) is not None
    ]
    return " ".join(words)


def options_of(
    model: BaseModel, prefix: str = "", *, reload: bool = False, about: str = ""
) -> Iterator[Option]:
    """Every setting in `model`, tables unfolded. `about` is said before the description of each."""
    for name, field in type(model).model_fields.items():
        value, inner = getattr(model, name), reload or is_reloaded(field)
        if isinstance(value, BaseModel):
            told = f"{field.description}: " if getattr(value, "told_by_its_place", False) else ""
            yield from options_of(value, f"{prefix}{name}.", reload=inner, about=told)
        else:
            yield Option(prefix + name, value, about + (field.description or ""), inner, allowed_by(field))


def put(tree: dict[str, Any], name: str, value: object) -> None:
    """Set what the dotted name stands for, in tables within tables."""
    *above, last = name.split(".")
    for part in above:
        tree = tree.setdefault(part, {})
    tree[last] = value
