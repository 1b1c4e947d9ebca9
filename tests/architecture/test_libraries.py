"""The libraries that TokenIM is built on do real work: each is imported, and used, where it belongs."""

import ast

import pytest

from tests.architecture.source import imports_of, is_under, name_of, nodes_of, product_files, python_files

# A library and the folders in each of which some file must use it.
AT_WORK = {
    "aiohttp": ("relay/web/", "client/"),
    "nacl": ("relay/session/", "crypto/"),
    "cryptography": ("crypto/",),
    "h2": ("relay/adapters/push/",),
    "aiosqlite": ("relay/adapters/sqlite/",),
    "pydantic": ("relay/wire/", "relay/config"),
    "msgspec": ("relay/wire/",),
    "sqlcipher3": ("client/store/",),
}
FIXTURES = {"aiohttp_client", "aiohttp_server", "aiohttp_raw_server"}


@pytest.mark.parametrize("library", AT_WORK)
def test_each_library_works_where_it_should(library):
    users = [
        name_of(path)
        for path in product_files()
        if any(is_under(imported, library) for _, imported in imports_of(path))
    ]
    assert [folder for folder in AT_WORK[library] if not any(user.startswith(folder) for user in users)] == []


def test_pytest_aiohttp_serves_tests():
    wanted = {
        argument.arg
        for path in python_files()
        if name_of(path).startswith("tests/") and "aiohttp_" in path.read_text(encoding="utf-8")
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in node.args.args
    }
    assert wanted & FIXTURES
