"""Time, timers, randomness and the environment come in as arguments; outside data never meets `assert`."""

import ast
from collections.abc import Iterable, Iterator, Sequence

import pytest

from tests.architecture.source import name_of, nodes_of, product_files

# What must not be called, by its full name; a name that ends in ".*" stands for all of a module.
STRAYS = {
    *(
        f"time.{name}"
        for name in (
            "time",
            "time_ns",
            "monotonic",
            "monotonic_ns",
            "perf_counter",
            "perf_counter_ns",
            "sleep",
        )
    ),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    *(
        "datetime.date.today",
        "os.urandom",
        "os.getrandom",
        "random.*",
        "secrets.*",
        "uuid.uuid1",
        "uuid.uuid4",
    ),
    *("asyncio.sleep", "loop.time", "nacl.utils.random"),
}
# The adapters of time and randomness, one of them for tests; and the writer, which lets one turn of the loop pass.
ALLOWED_STRAYS = {
    "relay/adapters/system_clock.py",
    "relay/adapters/memory_clock.py",
    "relay/adapters/postgres/database.py",
    "relay/adapters/sqlite/writer.py",
    "client/system.py",
}
# A tester from outside: what it tries has the machine's time, and whoever reads a case sees what is sent.
KIT = "client/conformance/"
LOOPS = {"asyncio.get_running_loop", "asyncio.get_event_loop"}
ENVIRONMENT = {"os.environ", "os.getenv", "os.environb", "os.putenv"}
ALLOWED_ENVIRONMENT = {"relay/config/sources.py", "client/cli/work.py"}  # one for each command


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """The full name of an expression such as `t.sleep`; `known` says what each local name stands for."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, known)
        return f"{base}.{node.attr}" if base else ""
    return ""


def local_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """What each imported name stands for: {"t": "time", "sleep": "asyncio.sleep"}."""
    known = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return known


def asks_a_loop_for_the_time(node: ast.AST, known: dict[str, str]) -> bool:
    if not (isinstance(node, ast.Attribute) and node.attr == "time"):
        return False
    owner = node.value
    if isinstance(owner, ast.Call):
        return dotted(owner.func, known) in LOOPS
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name.lstrip("_") in {"loop", "event_loop"}


def strays_in(nodes: Sequence[ast.AST], forbidden: set[str]) -> Iterator[tuple[int, str]]:
    """(line, name) of each use of a forbidden name, called or handed on."""
    known = local_names(nodes)
    for node in nodes:
        if "loop.time" in forbidden and asks_a_loop_for_the_time(node, known):
            yield node.lineno, "loop.time"
        name = dotted(node, known) if isinstance(node, ast.Name | ast.Attribute) else ""
        if name and (name in forbidden or f"{name.rpartition('.')[0]}.*" in forbidden):
            yield node.lineno, name


def test_time_and_randomness_come_in_as_arguments():
    paths = [path for path in product_files() if not name_of(path).startswith(KIT)]
    found = [
        f"{name_of(path)}:{line} {name}"
        for path in paths
        if name_of(path) not in ALLOWED_STRAYS
        for line, name in strays_in(nodes_of(path), STRAYS)
    ]
    assert found == []


def test_one_module_reads_the_environment():
    found = [
        f"{name_of(path)}:{line} {name}"
        for path in product_files()
        if name_of(path) not in ALLOWED_ENVIRONMENT
        for line, name in strays_in(nodes_of(path), ENVIRONMENT)
    ]
    assert found == []


def test_no_assert_stands_in_product_code():
    asserts = [
        f"{name_of(path)}:{node.lineno}"
        for path in product_files()
        for node in nodes_of(path)
        if isinstance(node, ast.Assert)
    ]
    assert asserts == [], "python -O removes it: raise an error of the package's tree"


def test_annotations_are_evaluated_everywhere():
    futures = [
        f"{name_of(path)}:{node.lineno}"
        for path in product_files()
        for node in nodes_of(path)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    assert futures == [], "msgspec and pydantic read annotations at run time: one rule for all files"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.sleep(1)",
        "from time import monotonic as now\nf(clock=now)",
        "import datetime as d\nd.datetime.now()",
        "from datetime import datetime\ndatetime.utcnow()",
        "import os\nos.urandom(3)",
        "import secrets\nsecrets.token_bytes(3)",
        "from random import choice\nchoice('ab')",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "import asyncio\nasyncio.get_running_loop().time()",
        "def f(self):\n    return self._loop.time()",
    ],
)
def test_the_rule_sees_a_stray(source):
    assert len(list(strays_in(list(ast.walk(ast.parse(source))), STRAYS))) == 1


def test_the_rule_lets_an_argument_pass():
    source = "def f(clock, random_bytes, sleep):\n    return clock.time(), random_bytes(3), sleep(1)"
    assert list(strays_in(list(ast.walk(ast.parse(source))), STRAYS)) == []
