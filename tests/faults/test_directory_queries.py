"""Lists of operators read indices, not all accounts: who is rare among a hundred thousand is found as fast."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.adapters.sqlite.directory import page_query
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.directory import Wanted


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted("auditor", None, ""), "accounts_by_role"),
        (Wanted("", True, ""), "accounts_suspended"),
    ],
    ids=["of a role", "suspended"],
)
async def test_what_is_rare_is_found_by_its_index(tmp_path: Path, wanted: Wanted, index: str) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
        pass
    statement, parameters = page_query(wanted, after=b"", limit=100)
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    (accounts,) = [step for step in plan if " a " in f"{step} " and "CORRELATED" not in step]
    assert index in accounts
    assert not any("TEMP B-TREE" in step for step in plan), "the page comes in the order of ids by itself"
