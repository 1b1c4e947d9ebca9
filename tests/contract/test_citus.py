"""deploy/citus/distribute.sql against the schema: what Citus asks of tables that it spreads, as far as the catalogue tells it."""

import asyncio
import re

import pytest

import relay.adapters.postgres.store  # noqa: F401  (its modules note their statements)
from relay.adapters.postgres.database import HOT, Database, Transaction
from relay.ports.prekeys import Claim
from relay.ports.store import Store
from relay.wire.prekeys import PrekeyKind
from tests.architecture.source import ROOT
from tests.contract.envelopes import page, send, submission
from tests.contract.people import NOW_MS, new_device, one_time_prekeys, standing_prekeys

SCRIPT = (ROOT / "deploy" / "citus" / "distribute.sql").read_text()
CALL = re.compile(r"create_distributed_table\('(\w+)', '(\w+)', colocate_with => '(\w+)'\)")
KEYS = {table: key for table, key, _ in CALL.findall(SCRIPT)}
GROUPS = {table: table if group == "none" else group for table, _, group in CALL.findall(SCRIPT)}


@pytest.fixture
def node(two_nodes: tuple[Store, Store]) -> Store:
    return two_nodes[0]


def test_each_statement_of_the_script_is_a_table_of_a_group_that_stands_before() -> None:
    assert len(KEYS) == SCRIPT.count("create_distributed_table(")
    order = list(GROUPS)
    for table, group in GROUPS.items():
        assert order.index(group) <= order.index(table)
        assert KEYS[table] == KEYS[group]


async def test_tables_and_keys_are_of_the_schema(node: Store) -> None:
    rows = await node.database.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    assert set(KEYS.items()) <= {tuple(row) for row in rows}


async def test_whatever_is_unique_in_a_spread_table_has_its_key(node: Store) -> None:
    """Citus: each unique index of a distributed table has the distribution column."""
    rows = await node.database.rows(
        """SELECT i.indrelid::regclass::text, array_agg(a.attname::text)
           FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
           WHERE i.indisunique GROUP BY i.indexrelid, i.indrelid"""
    )
    unique = [(table, columns) for table, columns in rows if table in KEYS]
    assert {table for table, _ in unique} >= {"accounts", "mailboxes", "envelopes"}
    assert [table for table, columns in unique if KEYS[table] not in columns] == []


async def test_foreign_keys_stay_within_a_group_and_join_by_its_key(node: Store) -> None:
    """Citus: from a distributed table to one of its group, by the distribution columns; never to or from a local one."""
    rows = await node.database.rows(
        """SELECT c.conrelid::regclass::text, c.confrelid::regclass::text, array_agg((a.attname::text, b.attname::text))
           FROM pg_constraint AS c, unnest(c.conkey, c.confkey) AS k(here, there)
           JOIN pg_attribute AS a ON a.attnum = k.here JOIN pg_attribute AS b ON b.attnum = k.there
           WHERE c.contype = 'f' AND a.attrelid = c.conrelid AND b.attrelid = c.confrelid GROUP BY c.oid"""
    )
    assert len(rows) > 10
    for table, other, pairs in rows:
        assert GROUPS.get(table) == GROUPS.get(other), (table, other)
        if table in KEYS:
            assert (KEYS[table], KEYS[other]) in [tuple(pair) for pair in pairs]


def test_hot_statements_name_spread_tables_by_the_key_of_the_script() -> None:
    """And those of one group alone: a join over two of them would go over the network for each row."""
    assert len(HOT) > 15
    for statement, key in HOT.items():
        named = set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+([a-z_]+)\b(?!\()", statement))
        tables = named - {"unnest", "above", "new", "gone", "fewer"}
        assert tables & KEYS.keys(), statement
        assert len({GROUPS[table] for table in tables & KEYS.keys()}) == 1, statement
        assert {KEYS[table] for table in tables & KEYS.keys()} == {key}, statement


def binds(statement: str, key: str) -> bool:
    """Whether values of the key come with it: compared in a WHERE, or what a row that is inserted begins with."""
    compared = rf"\b{key} = (ANY\()?\$\d"
    inserted = rf"INSERT INTO \w+ (\({key}\b|VALUES \(\$1,)"
    joined = any(  # with values that come with it
        re.search(rf"\.{key} = {rows}\.{key}\b", statement)
        for rows in re.findall(rf"unnest\(\$\d[^)]*\)\s+AS (\w+)\({key}\b", statement)
    )
    return joined or re.search(rf"{compared}|{inserted}", statement) is not None


def test_each_hot_statement_binds_the_key_that_it_is_noted_with() -> None:
    """Citus sends it to the shards of these values; without them, and for a join with them, to all."""
    assert [statement for statement, key in HOT.items() if not binds(statement, key)] == []
    assert not binds("SELECT ciphertext FROM envelopes WHERE envelope_id = $1", "device_id")
    assert not binds(
        "SELECT 1 FROM envelopes AS e JOIN missed AS m ON m.device_id = e.device_id", "device_id"
    )
    assert not binds("INSERT INTO records (envelope_id, device_id) SELECT * FROM unnest($1, $2)", "device_id")


async def test_a_row_that_is_inserted_without_names_of_columns_begins_with_the_key(node: Store) -> None:
    first = dict(
        await node.database.rows(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE ordinal_position = 1"
        )
    )
    tables = {table for statement in HOT for table in re.findall(r"INSERT INTO (\w+) VALUES", statement)}
    assert "nonces" in tables
    assert {table: first[table] for table in tables} == {table: KEYS[table] for table in tables}


def test_the_ciphertext_of_a_fan_out_is_fetched_by_its_own_key_and_not_joined() -> None:
    fetching = [s for s in HOT if re.search(r"SELECT [^;]*ciphertext[^;]* FROM shared_ciphertexts\b", s)]
    assert fetching != []
    for statement in fetching:
        assert " JOIN " not in statement
        assert set(re.findall(r"FROM\s+(\w+)", statement)) == {"shared_ciphertexts"}
        assert binds(statement, "shared_id")


async def test_what_each_message_connection_and_signed_request_asks_is_hot(
    node: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no statement of the way of a message is one that all nodes have to answer."""
    device, other = await new_device(node, "anna"), await new_device(node, "bert")
    await node.prekeys.append(device, [*standing_prekeys(), *one_time_prekeys(PrekeyKind.ONE_TIME, 2, 3)])
    ran: set[str] = set()
    for owner in (Transaction, Database):
        for name in ("rows", "one", "execute", "execute_many"):
            real = getattr(owner, name, None)
            if real is not None:

                def noted(self, statement, *parameters, real=real):
                    ran.add(statement)
                    return real(self, statement, *parameters)

                monkeypatch.setattr(owner, name, noted)
    known = await node.accounts.device(device)
    account = known.account_id
    await node.accounts.account(account)
    await node.accounts.spend_nonce(device, bytes(16), expires_at_ms=NOW_MS)
    await node.accounts.mark_seen(device, day=1)
    await node.delivery_tokens.resolve(account, bytes(32), now_ms=NOW_MS)
    for number in range(2):
        await send(node, submission(number, device), submission(("both", number), device, other))
    await page(node, device)
    await asyncio.gather(page(node, device), page(node, other))  # one statement
    await node.mailboxes.state(device)
    await node.mailboxes.newest([device, other])
    await node.mailboxes.count_attempt(device, 1)
    await node.mailboxes.ack(device, up_to=1)
    await node.mailboxes.ack(device, up_to=2, also=[4])
    await node.prekeys.claim([Claim(device, True)])
    assert len(ran) > 15
    assert sorted(ran - HOT.keys()) == []
