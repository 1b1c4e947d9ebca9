"""Each module stands alone, exports what it says, and is the one of this project."""

import ast
import importlib
import os
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

import crypto
from tests.architecture.source import ROOT, is_under, module_of, name_of, product_files, tree_of
from tests.architecture.test_import_arrows import ROOMS

# Forks for each module from a process that has loaded only libraries and what stands before, which knows nothing of it: as
# fresh as an interpreter, and cheap. Modules of a package are tried where the package is loaded: they never come before it.
# Reads a list of modules a line.
IMPORT_ALONE = """
import importlib, os, sys
import aiohttp.web, aiosqlite, asyncpg, click, nats, obstore, cryptography.hazmat.primitives.hpke
import msgspec, nacl.signing, pydantic, rich.console

def await_one():
    return os.wait()[1] != 0

def fails(names, at_once):
    running, failed = 0, False
    while names:
        name, *others = names
        inside = [other for other in others if other.startswith(name + ".")]
        names = [other for other in others if other not in inside]
        if name in sys.modules:
            names = inside + names
            continue
        if running == at_once:
            failed |= await_one()
            running -= 1
        running += 1
        if os.fork() == 0:
            try:
                importlib.import_module(name)
            except BaseException as error:
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                os._exit(1)
            os._exit(fails(inside, 1))
    for _ in range(running):
        failed |= await_one()
    return failed

for line in sys.stdin:
    if fails(line.split(), os.cpu_count()):
        sys.exit(1)
    for name in line.split():
        importlib.import_module(name)
"""


def floors() -> list[list[str]]:
    """All modules; none imports one of a later list: the arrows of the rooms, which test_import_arrows holds, say so."""
    rooms = (f"relay.{room}" for room in TopologicalSorter(ROOMS).static_order())
    places = ["crypto", *rooms, "client.conformance", "client", "relay"]
    found: dict[str, list[str]] = {place: [] for place in places}
    for path in product_files():
        module = module_of(path)
        found[next(place for place in places if is_under(module, place))].append(module)
    return [sorted(modules) for modules in found.values() if modules]


@pytest.mark.timeout(400)  # a process for each module
def test_every_module_imports_alone():
    modules = floors()
    assert sum(len(floor) for floor in modules) == len(product_files())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALONE],
        input="\n".join(" ".join(floor) for floor in modules) + "\n",
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def exports_of(tree: ast.Module) -> list[str] | None:
    """The literal value of `__all__`, or None where there is none."""
    for node in tree.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))
    return None


WITH_EXPORTS = [
    path
    for path in product_files()
    if b"__all__" in path.read_bytes() and exports_of(tree_of(path)) is not None
]


@pytest.mark.parametrize("path", WITH_EXPORTS, ids=name_of)
def test_every_exported_name_exists_once(path):
    exported = exports_of(tree_of(path))
    module = importlib.import_module(module_of(path))
    assert len(exported) == len(set(exported))
    assert [name for name in exported if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    "path", [path for path in product_files() if path.name == "__init__.py"], ids=name_of
)
def test_a_package_that_re_exports_says_so(path):
    imported = {
        alias.asname or alias.name
        for node in tree_of(path).body
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    public = {name for name in imported if not name.startswith("_")}
    assert public <= set(exports_of(tree_of(path)) or ()), (
        "a name imported into __init__ is public: list it in __all__"
    )


def test_every_module_begins_with_its_promise():
    assert [name_of(path) for path in product_files() if not ast.get_docstring(tree_of(path))] == []


def test_crypto_is_the_package_of_this_project():
    assert crypto.__file__ == str(ROOT / "crypto" / "__init__.py")
