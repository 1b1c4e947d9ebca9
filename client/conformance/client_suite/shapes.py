"""What a value of the wire may be: each shape raises Failed, with the name of the field, for anything else."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from client.conformance.report import Failed
from client.conformance.wire import from_base64

Shape: TypeAlias = Callable[[Any, str], None]
MOST: Final = 2**53
SEQUENCE: Final = 2**63 - 1


def _refuse(name: str, expected: str, value: Any) -> Failed:
    shown = f"{len(value)} B" if isinstance(value, bytes) else repr(value)
    return Failed(f"{name}: expected {expected}, got {shown[:80]}")


def whole(least: int, most: int = MOST) -> Shape:
    """A whole number of this range."""

    def check(value: Any, name: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise _refuse(name, f"a whole number from {least} to {most}", value)

    return check


def flag(value: Any, name: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _refuse(name, "true or false", value)


def binary(least: int, most: int | None = None) -> Shape:
    """Bytes of MessagePack, so many."""
    most = least if most is None else most

    def check(value: Any, name: str) -> None:
        if not isinstance(value, bytes) or not least <= len(value) <= most:
            raise _refuse(name, f"{least} to {most} B", value)

    return check


def base64(least: int, most: int | None = None) -> Shape:
    """base64url without padding of so many bytes."""
    most = least if most is None else most

    def check(value: Any, name: str) -> None:
        try:
            size = len(from_base64(value)) if isinstance(value, str) else -1
        except ValueError:
            size = -1
        if not least <= size <= most:
            raise _refuse(name, f"base64url of {least} to {most} B", value)

    return check


def words(*these: str) -> Shape:
    """One of these; any string where there are none."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, str) or (these and value not in these):
            raise _refuse(name, " or ".join(these) or "a string", value)

    return check


def or_null(shape: Shape) -> Shape:
    """null, or that."""

    def check(value: Any, name: str) -> None:
        if value is not None:
            shape(value, name)

    return check


def array(shape: Shape, least: int, most: int) -> Shape:
    """An array of so many of that."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise _refuse(name, f"an array of {least} to {most}", value)
        for index, one in enumerate(value):
            shape(one, f"{name}[{index}]")

    return check


def row(needed: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Shape:
    """An array of these fields in their order; those that are optional may be left out at the end."""
    every = {**needed, **(optional or {})}

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or not len(needed) <= len(value) <= len(every):
            raise _refuse(name, f"{len(needed)} to {len(every)} fields", value)
        for one, (field, shape) in zip(value, every.items(), strict=False):
            shape(one, f"{name}.{field}")

    return check


def fields(needed: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Shape:
    """A JSON object of these fields, and of no other."""
    every = {**needed, **(optional or {})}

    def check(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(name, "a JSON object", value)
        if unknown := value.keys() - every.keys():
            raise Failed(f"{name}: the document has no field {', '.join(sorted(unknown))}")
        if missing := needed.keys() - value.keys():
            raise Failed(f"{name}: {', '.join(sorted(missing))} is missing")
        for field, one in value.items():
            every[field](one, f"{name}.{field}")

    return check
