"""Print the tables of docs/*.md that are made from the code, or put them where they belong.

Usage: python docs/generate.py            print every table
       python docs/generate.py --write    renew them between `<!-- generated: NAME -->` and `<!-- end -->`, and the
                                          descriptions for programs, docs/*.json

A test fails when a document and the code differ. Knows what the code says, never what it ought to say.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec.inspect as shapes

from docs.authentication_tables import signed_requests
from docs.command_tables import commands_table, exits_table
from docs.config_tables import (
    account_roles_table,
    figures_table,
    relay_limits_table,
    retention_table,
    settings_table,
    variables_table,
)
from docs.content_tables import archive_table, contents_table, shared_items_table
from docs.coverage_tables import coverage_table
from docs.crypto_tables import (
    account_limits_table,
    changes_table,
    group_limits_table,
    labels_table,
    ratchet_limits_table,
    rights_table,
    roles_table,
    session_limits_table,
)
from docs.first_page_tables import first_page
from docs.http_tables import routes_table
from docs.markdown import members_table, one_line, remarks_in, snake, span, table
from relay.session.machine import NEXT, State
from relay.web.asyncapi import describe_frames
from relay.web.openapi import describe
from relay.web.routes import ROUTES
from relay.wire import errors, frames, limits

BLOCK: Final = re.compile(r"(<!-- generated: (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def limits_table() -> str:
    """Every advertised limit, under the heading that its group has in relay/wire/limits.py."""
    remarks = remarks_in(limits)
    groups: dict[str, list[list[str]]] = {}
    heading = ""
    for line in inspect.getsource(limits).splitlines():
        if line.startswith("# "):
            heading = line.removeprefix("# ")
        elif (named := re.match(r"([A-Z][A-Z0-9_]*): Final", line)) and named[1].lower() in limits.ADVERTISED:
            name = named[1]
            value = f"{limits.ADVERTISED[name.lower()]:,}"
            groups.setdefault(heading, []).append([f"`{name.lower()}`", value, remarks.get(name, "")])
    return "\n".join(f"**{head}**\n\n{table(['limit', 'value', ''], rows)}" for head, rows in groups.items())


def errors_table() -> str:
    """Every refusal, and the codes that only close a connection."""
    rows = []
    for error in errors.every_error():
        close = errors.CLOSE_CODES.get(error.code)
        again = "yes" if error.retryable else "–"
        rows.append([f"`{error.code}`", str(error.http_status), str(close or "–"), again, meaning_of(error)])
    told = {error.code for error in errors.every_error()}
    closes = [[str(number), f"`{code}`"] for code, number in errors.CLOSE_CODES.items() if code not in told]
    heads = ["code", "HTTP status", "WebSocket close", "try again", "when"]
    return (
        table(heads, rows) + "\nClose codes that answer no request:\n\n" + table(["close", "meaning"], closes)
    )


def meaning_of(error: type[errors.RelayError]) -> str:
    """When it is answered; the root of the tree stands for what nobody meant to happen."""
    if error is errors.RelayError:
        return "A defect of the relay. The answer holds a request id and no detail."
    return one_line(error)


def shape(kind: shapes.Type) -> str:
    """The MessagePack form of a field's type."""
    match kind:
        case shapes.BytesType():
            bounded = kind.min_length is not None or kind.max_length is not None
            return f"bin {span(kind.min_length, kind.max_length)} B" if bounded else "bin"
        case shapes.StrType():
            return f"str {span(kind.min_length, kind.max_length)} B"
        case shapes.BoolType():
            return "bool"
        case shapes.IntType():
            return "int" if kind.ge is None and kind.le is None else f"int {span(kind.ge, kind.le)}"
        case shapes.EnumType() | shapes.StructType():
            return f"[{snake(kind.cls.__name__)}](#{snake(kind.cls.__name__)})"
        case shapes.VarTupleType():
            bounded = kind.min_length is not None or kind.max_length is not None
            count = f"{span(kind.min_length, kind.max_length)} × " if bounded else ""
            return f"array of {count}{shape(kind.item_type)}"
        case shapes.UnionType():
            return " or ".join(shape(choice) for choice in kind.types)
        case _:
            raise TypeError(f"no MessagePack form is known for {kind}")


def fields_of(cls: type) -> str:
    """The fields in their order in the array; those in brackets may be left out at its end."""
    kind = shapes.type_info(cls)
    if not isinstance(kind, shapes.StructType):
        raise TypeError(f"{cls} is no frame")
    forms = ("`{}` {}" if field.required else "[`{}` {}]" for field in kind.fields)
    told = (
        form.format(field.name, shape(field.type)) for form, field in zip(forms, kind.fields, strict=True)
    )
    return "; ".join(told) or "–"


def frames_table() -> str:
    """Every frame, then the parts and the numbers its fields hold."""
    rows = []
    for direction, group in (("→ relay", frames.CLIENT_FRAMES), ("→ client", frames.RELAY_FRAMES)):
        for frame in group:
            code = str(frame.__struct_config__.tag)
            rows.append([code, f"`{snake(frame.__name__)}`", direction, fields_of(frame), one_line(frame)])
    parts = [
        f"\n#### {snake(part.__name__)}\n\n{one_line(part)} An array of: {fields_of(part)}\n"
        for part in (frames.Target, frames.Grant, frames.ManifestVersion)
    ]
    numbers = [
        f"\n#### {snake(kind.__name__)}\n\n{one_line(kind)}\n\n{members_table(kind)}"
        for kind in (frames.EnvelopeClass, frames.Outcome, frames.NoticeKind, frames.MissedReason)
    ]
    return (
        table(["type", "frame", "direction", "fields", "meaning"], rows) + "".join(parts) + "".join(numbers)
    )


def states_table() -> str:
    """What may come in each state of a connection, and where it leads; all else is out of turn."""
    meanings = remarks_in(State)
    rows = [
        [
            f"`{state.value}`",
            meanings[state.name],
            "<br>".join(
                f"`{snake(frame.__name__)}` → `{after.value}`"
                for (at, frame), after in NEXT.items()
                if at is state
            )
            or "–",
        ]
        for state in State
    ]
    return table(["state", "", "what may come, and the state after it"], rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "frames": frames_table,
    "states": states_table,
    "routes": routes_table,
    "errors": errors_table,
    "limits": limits_table,
    "ratchet_limits": ratchet_limits_table,
    "session_limits": session_limits_table,
    "labels": labels_table,
    "group_limits": group_limits_table,
    "account_limits": account_limits_table,
    "roles": roles_table,
    "rights": rights_table,
    "changes": changes_table,
    "contents": contents_table,
    "shared_items": shared_items_table,
    "archive": archive_table,
    "commands": commands_table,
    "exits": exits_table,
    "settings": settings_table,
    "relay_limits": relay_limits_table,
    "variables": variables_table,
    "account_roles": account_roles_table,
    "figures": figures_table,
    "retention": retention_table,
    "coverage": coverage_table,
    "first_page": first_page,
    "signed_requests": signed_requests,
}


def renewed(document: str) -> str:
    """The document with each generated block as the code has it now; a block that nobody makes is a KeyError."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{TABLES[block['name']]()}\n{block[3]}", document)


DESCRIPTIONS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "openapi.json": lambda: describe(ROUTES),
    "asyncapi.json": describe_frames,
}
"""What a relay answers at /v1/openapi.json and /v1/asyncapi.json, for who has no relay at hand."""


def description(name: str) -> str:
    """The text of one of them."""
    return json.dumps(DESCRIPTIONS[name](), indent=1) + "\n"


def documents() -> list[Path]:
    """The documents that may hold blocks."""
    return sorted(Path(__file__).parent.glob("*.md"))


def main(arguments: list[str]) -> int:
    """Run the command line; 0 done, 2 usage."""
    if arguments == ["--write"]:
        for path in documents():
            path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
        for name in DESCRIPTIONS:
            (Path(__file__).parent / name).write_text(description(name), encoding="utf-8")
        return 0
    if arguments:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    for name, make in TABLES.items():
        sys.stdout.write(f"<!-- generated: {name} -->\n\n{make()}\n<!-- end -->\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
