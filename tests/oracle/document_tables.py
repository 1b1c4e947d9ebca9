"""The shapes of frames and contents, read out of the tables of docs/protocol.md: a client could be made from them."""

import re
from pathlib import Path
from typing import Any

from tests.oracle.refusals import require

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
FRAME = re.compile(r"^\| (\d+) \| `(\w+)` \| (→ relay|→ client) \| (.*?) \| .* \|$", re.MULTILINE)
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

PLAIN = {"bool": (bool,), "nil": (type(None),), "int or bin": (int, bytes)}

Field = tuple[str, str, bool]  # name, type, may be left out


def fields_in(text: str) -> list[Field]:
    found = []
    for part in [] if text == "–" else text.split("; "):
        optional = part.startswith("[`")
        name, kind = re.fullmatch(r"`(\w+)` (.*)", part[1:-1] if optional else part).groups()  # type: ignore[union-attr]
        found.append((name, kind, optional))
    return found


FRAMES = {int(row[0]): (row[1], row[2], fields_in(row[3])) for row in FRAME.findall(DOCUMENT)}
"""Name, direction and fields by type."""


def tables_in(text: str) -> dict[str, list[Field]]:
    """The arrays of contents, by name: a line in bold, then a table of fields."""
    found = {}
    for name, rows in re.findall(
        r"^\*\*(\w+)\*\*\n\n(?:\| # .*\n\| --- .*\n)((?:\|.*\n)+)", text, re.MULTILINE
    ):
        listed = re.findall(r"^\| \d+ \| `(\w+)` \| (.*) \|$", rows, re.MULTILINE)
        found[name] = [(field, kind, False) for field, kind in listed]
    return found


def generated(name: str) -> str:
    """What stands between the marks of this name."""
    return DOCUMENT.split(f"<!-- generated: {name} -->")[1].split("<!-- end -->")[0]


CONTENTS = generated("contents")
TABLES = tables_in(CONTENTS) | tables_in(generated("shared_items"))
BODIES = {
    int(row[0]): row[1]
    for row in re.findall(r"^\| (\d+) \| `\w+` \| ([^|]*) \|$", CONTENTS.split("| body |")[1], re.MULTILINE)
}
"""The type of each content's body, by number."""


def _section(anchor: str) -> str:
    return re.split(r"^#{2,4} ", DOCUMENT.split(f"#### {anchor}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _number(text: str) -> int:
    """`2,592,000`, or a power of two such as `2⁶³ − 1`."""
    power = re.fullmatch(r"2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)( − 1)?", text)
    if power:
        return 2 ** int(power[1].translate(SUPERSCRIPTS)) - bool(power[2])
    return int(text.replace(",", ""))


def _bounds(text: str) -> tuple[int, int]:
    first, _, last = text.partition("–")
    return _number(first), _number(last or first)


def check_value(value: Any, kind: str) -> None:
    """Refused unless a value has the type that the document gives."""
    if kind.startswith("array of `"):  # what its last field may be stands at the end
        _check_array(value, kind)
    elif kind.endswith(" or nil"):
        if value is not None:
            check_value(value, kind.removesuffix(" or nil"))
    elif kind in TABLES:
        check_fields(value, TABLES[kind])
    elif kind.startswith("array of "):
        _check_array(value, kind)
    elif kind.startswith("["):
        _check_named(value, kind[1:].partition("]")[0])
    elif kind.startswith("`"):
        require(value in kind.replace("`", "").split(" or "), "choice")
    elif kind in PLAIN:
        require(type(value) in PLAIN[kind], kind)
    elif kind.startswith("int"):
        require(type(value) is int, "int")
        low, high = (_number(kind[6:]), 2**64) if kind.startswith("int ≥ ") else _bounds(kind[4:])
        require(low <= value <= high, "int")
    elif kind != "by type":
        _check_length(value, *kind.split(" ", 1))


def _check_length(value: Any, family: str, size: str) -> None:
    require(type(value) is {"bin": bytes, "str": str}[family], family)
    number, _, unit = size.partition(" ")
    low, high = _bounds(number)
    require(low <= len(value.encode() if (family, unit) == ("str", "B") else value) <= high, "length")


def _check_array(value: Any, kind: str) -> None:
    require(isinstance(value, list), "array")
    if kind.startswith("array of `"):
        require(value, "empty")  # what a body may leave out at its end, its text says
        check_fields(value, fields_in(kind.removeprefix("array of "))[: len(value)])
        return
    many = re.match(r"array of (?:([\d,–]+) × )?(.*)", kind)
    assert many is not None
    low, high = _bounds(many[1]) if many[1] else (0, 2**32)
    require(low <= len(value) <= high, "array")
    for each in value:
        check_value(each, many[2])


def _check_named(value: Any, name: str) -> None:
    section = _section(name)
    if "An array of: " in section:
        check_fields(value, fields_in(section.split("An array of: ", 1)[1].splitlines()[0]))
    else:
        require(
            type(value) is int and value in map(int, re.findall(r"^\| (\d+) \|", section, re.MULTILINE)), name
        )


def check_fields(values: Any, fields: list[Field]) -> None:
    needed = [field for field in fields if not field[2]]
    require(isinstance(values, list) and len(needed) <= len(values) <= len(fields), "fields")
    for value, (_, kind, _) in zip(values, fields, strict=False):
        check_value(value, kind)
