"""How the generated tables write things: one form for ranges, names and rows."""

import inspect
import re
import tokenize
from collections.abc import Iterable
from enum import IntEnum
from io import StringIO
from types import ModuleType
from typing import Final

POWERS: Final = {2**32 - 1: "2³² − 1", 2**53: "2⁵³", 2**63 - 1: "2⁶³ − 1"}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def snake(name: str) -> str:
    """CaughtUp is caught_up."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def one_line(thing: type) -> str:
    """The docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split())


def number(value: float) -> str:
    """A whole number; the large ones as the text around the tables writes them."""
    return POWERS.get(int(value), f"{int(value):,}")


def span(low: float | None, high: float | None) -> str:
    """A range of lengths or values, as short as it can be said."""
    if high is None:
        return f"≥ {number(low or 0)}"
    return number(high) if low == high else f"{number(low or 0)}–{number(high)}"


def remarks_in(thing: ModuleType | type) -> dict[str, str]:
    """NAME → what the comment at the end of its line says."""
    remarks: dict[str, str] = {}
    for token in tokenize.generate_tokens(StringIO(inspect.getsource(thing)).readline):
        if token.type == tokenize.COMMENT and (named := re.match(r"\s*([A-Z][A-Z0-9_]*)\b", token.line)):
            remarks[named[1]] = token.string.removeprefix("#").strip()
    return remarks


def members_table(kind: type[IntEnum]) -> str:
    """An enumeration: its promise and its numbers."""
    remarks = remarks_in(kind)
    return table(
        ["number", "name", ""], ([str(m.value), f"`{m.name.lower()}`", remarks.get(m.name, "")] for m in kind)
    )
