"""The arrows of docs/architecture.md: who may import whom.

import-linter checks the transitive contracts of pyproject.toml; this checks each line, and says which it is.
"""

import ast

import pytest

from tests.architecture.source import (
    ROOT,
    imports_in,
    imports_of,
    is_under,
    module_of,
    name_of,
    product_files,
)

# A room of the relay, and the rooms it may know beside itself. A room that is not here fails the test.
ROOMS: dict[str, set[str]] = {
    "wire": set(),
    "observe": set(),
    "ports": {"wire"},
    "session": {"ports", "wire", "observe"},
    # Services hold settings, and let relay.session.proof say whether a signature proves its device.
    "services": {"config", "session", "ports", "wire", "observe"},
    "commands": {"config", "services", "ports", "wire", "observe"},
    "flow": {"session", "services", "ports", "wire", "observe"},
    "adapters": {"ports", "wire", "observe"},
    "config": {"wire"},
    "web": {"config", "commands", "flow", "session", "services", "ports", "wire", "observe"},
    "control": {"commands", "services", "wire", "observe"},
    "states": {"adapters", "config", "services", "ports"},
    "buses": {"adapters", "config", "ports", "observe"},
    "composition": {
        *("adapters", "states", "commands", "config", "flow"),
        *("services", "session", "ports", "wire", "observe"),
    },
    "pushers": {"adapters", "config", "session", "ports", "wire"},
    "app": {
        "buses",
        "composition",
        "states",
        "pushers",
        "commands",
        "web",
        "adapters",
        "flow",
        "session",
        "services",
        "ports",
        "wire",
        "observe",
        "config",
        "control",
    },
    "log_database": {"states", "adapters", "services", "session", "wire", "config"},
    "log_files": {"log_database", "adapters", "services", "session", "ports", "wire", "config"},
    "upkeep": {"pushers", "states", "adapters", "services", "session", "ports", "config", "wire", "observe"},
    "moves": {"states", "adapters", "control", "services", "session", "ports", "config", "wire"},
    "testing": {
        "app",
        "states",
        "composition",
        "web",
        "adapters",
        "flow",
        "session",
        "services",
        "ports",
        "wire",
        "observe",
        "config",
    },
    "cli": {
        "upkeep",
        "moves",
        "app",
        "log_files",
        "adapters",
        "control",
        "config",
        "services",
        "ports",
        "wire",
        "observe",
    },
}
# A library, and the only places that may import it.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "aiohttp.web": ("relay.web", "relay.testing", "client.conformance"),
    "aiohttp": ("relay.web", "relay.testing", "relay.adapters", "client"),
    "aiosqlite": ("relay.adapters",),
    "sqlite3": ("relay.adapters",),
    "asyncpg": ("relay.adapters",),
    "nats": ("relay.adapters",),
    "obstore": ("relay.adapters",),
    "sqlcipher3": ("client.store",),
    "nacl": ("crypto.primitives", "relay.session", "relay.wire", "relay.adapters", "client.conformance"),
    "cryptography": ("crypto.primitives", "crypto.web_push", "relay.adapters", "client.conformance"),
    "h2": ("relay.adapters.push",),
}


def breaches(module: str, imported: str) -> list[str]:
    """What is wrong with `module` importing `imported`; nothing, if nothing is."""
    wrong = []
    for library, allowed in LIBRARIES.items():
        if is_under(imported, library) and not any(is_under(module, place) for place in allowed):
            wrong.append(f"only {', '.join(allowed)} may import {library}")
    here, there = module.split("."), imported.split(".")
    ours = there[0] in ("relay", "crypto", "client")
    if ours and is_under(module, "client.conformance") != is_under(imported, "client.conformance"):
        wrong.append("the conformance kit shares nothing with what it tests")
    if here[0] == "relay":
        if there[0] in ("crypto", "client"):
            wrong.append("the relay imports neither crypto nor the client")
        if there[0] == "relay" and len(here) > 1 and len(there) > 1 and there[1] in ROOMS:
            if here[1] not in ROOMS:
                wrong.append(f"the room relay.{here[1]} is not in ROOMS: say what it may know")
            elif there[1] != here[1] and there[1] not in ROOMS[here[1]]:
                wrong.append(f"relay.{here[1]} does not know relay.{there[1]}")
    if here[0] == "crypto" and there[0] in ("relay", "client"):
        wrong.append("crypto imports nobody")
    if here[0] == "client" and there[0] == "relay" and not is_under(imported, "relay.wire"):
        wrong.append("of the relay, the client knows relay.wire alone")
    return wrong


def test_every_import_follows_the_arrows():
    wrong = [
        f"{name_of(path)}:{line} imports {imported}: {reason}"
        for path in product_files()
        for line, imported in imports_of(path)
        for reason in breaches(module_of(path), imported)
    ]
    assert wrong == []


def test_every_room_of_the_relay_has_its_arrows():
    rooms = {
        path.relative_to(ROOT / "relay").parts[0].removesuffix(".py")
        for path in product_files()
        if is_under(module_of(path), "relay")
    }
    assert rooms - {"__init__", "__main__"} <= ROOMS.keys()


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("relay.web.routes", "crypto.keys"),
        ("relay.wire.codec", "relay.services.mailbox"),
        ("relay.services.mailbox", "relay.adapters.sqlite.store"),
        ("relay.services.mailbox", "relay.web.routes"),
        ("relay.app", "relay.testing"),
        ("relay.app", "aiohttp.web"),
        ("relay.services.mailbox", "aiosqlite"),
        ("relay.observe.logs", "relay.wire.limits"),
        ("relay.cellar.barrel", "relay.wire.limits"),
        ("crypto.keys", "relay.wire.limits"),
        ("crypto.keys", "nacl.signing"),
        ("client.inbox", "relay.services.mailbox"),
        ("client.inbox", "relay"),
        ("client.inbox", "sqlcipher3"),
        ("client.inbox", "client.conformance.wire"),
        ("client.conformance.device", "crypto.keys"),
        ("client.conformance.device", "client.links"),
    ],
)
def test_the_rule_sees_a_forbidden_import(module, imported):
    assert breaches(module, imported)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("relay.web.routes", "aiohttp.web"),
        ("relay.services.mailbox", "relay.ports.stores"),
        ("client.inbox", "relay.wire.codec"),
        ("client.inbox", "crypto.keys"),
        ("relay.app", "relay.adapters.sqlite.store"),
    ],
)
def test_the_rule_lets_an_allowed_import_pass(module, imported):
    assert breaches(module, imported) == []


def test_imports_are_found_in_every_form():
    source = (
        "import a.b\nfrom a import c as d\nfrom . import e\nfrom .f import g\ndef h():\n    from a.i import j"
    )
    assert list(imports_in(ast.walk(ast.parse(source)), "p.q")) == [
        (1, "a.b"),
        (2, "a.c"),
        (3, "p.q.e"),
        (4, "p.q.f.g"),
        (6, "a.i.j"),
    ]
