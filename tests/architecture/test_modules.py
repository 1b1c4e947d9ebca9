"""Each module stands alone, exports what it says, and is the one of this project."""

import ast
import importlib
import os
import subprocess
import sys

import pytest

import crypto
from tests.architecture.source import ROOT, module_of, name_of, product_files, tree_of

# Forks for each module from a process that has loaded only libraries: as fresh as an interpreter, and cheap.
IMPORT_ALONE = """
import os, sys
import aiohttp.web, aiosqlite, asyncpg, click, nats, obstore, cryptography.hazmat.primitives.hpke
import msgspec, nacl.signing, pydantic, rich.console
running, failed = 0, False

def await_one():
    global running, failed
    failed |= os.wait()[1] != 0
    running -= 1

for name in sys.argv[1:]:
    if running == os.cpu_count():
        await_one()
    running += 1
    if os.fork() == 0:
        try:
            __import__(name)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
while running:
    await_one()
sys.exit(failed)
"""


@pytest.mark.timeout(400)  # a process for each module
def test_every_module_imports_alone():
    modules = [module_of(path) for path in product_files()]
    assert "relay" in modules
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", IMPORT_ALONE, *modules]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
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


WITH_EXPORTS = [path for path in product_files() if exports_of(tree_of(path)) is not None]


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
