"""Sealed columns where nodes share a PostgreSQL (E2): each gets the new key first, then all use it, and nobody stops."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from relay.adapters.column_keys import (
    ID_BYTES,
    ColumnKeys,
    NotOpened,
    add_key,
    key_id_of,
    open_keys,
    read_keys,
)
from relay.adapters.data_folder import StartRefused
from relay.adapters.postgres.database import StoreUnreachable, Transaction
from relay.adapters.postgres.sealing import COLUMNS, PROOF, seal
from relay.adapters.postgres.store import PostgresStore, open_postgres_store
from relay.adapters.system_clock import SystemClock
from relay.cli.keys import keys
from relay.services.key_rotation import KeyRotation
from relay.wire.errors import Conflict, Unavailable
from tests.contract.people import NOW_MS, registration
from tests.faults.relay_process import RelayProcess, warm_relay
from tests.servers.databases import give_back, new_database
from tests.servers.postgres import PostgresServer

TOKEN = b"public-token-16B"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    url = asyncio.run(new_database(postgres))
    yield url
    asyncio.run(give_back(postgres, url))


@dataclass
class Node:
    store: PostgresStore
    file: Path

    async def register(self, name: str) -> None:
        given = registration(name, handle=name, public_token=(name.encode() + TOKEN)[:16])
        await self.store.accounts.register(given, now_ms=NOW_MS)

    async def reads(self, *names: str) -> None:
        for name in names:
            binding = await self.store.accounts.find_handle(name)
            assert binding is not None
            assert binding.public_token == (name.encode() + TOKEN)[:16]
        assert len(await self.store.transparency.handle_salt("anna")) == 16

    async def sealed_by(self) -> set[int]:
        """Ids of all keys that seal something."""
        return {
            key_id_of(row[0])
            for column in COLUMNS
            for row in await self.store.database.rows(
                f"SELECT {column.column} FROM {column.table} WHERE {column.column} IS NOT NULL"
            )
        }


@asynccontextmanager
async def two(url: str, folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Nodes whose key files are copies."""
    files = folder / "one.keys", folder / "other.keys"
    open_keys(files[0])
    shutil.copy(*files)
    async with AsyncExitStack() as stack:
        one, other = [
            Node(await stack.enter_async_context(open_postgres_store(url, keys_file=file)), file)
            for file in files
        ]
        yield one, other


async def test_e2_a_new_key_comes_to_each_node_then_all_use_it_and_the_old_one_goes(
    url: str, tmp_path: Path
) -> None:
    async with two(url, tmp_path) as (one, other):
        await one.register("anna")
        rotation = KeyRotation(one.store.sealing, SystemClock())
        with pytest.raises(Conflict, match="keys add"):
            await rotation.rotate(begin=True)
        # Each node gets it. It seals nothing, whatever comes, and whichever node is started anew.
        assert add_key(one.file) == 2
        shutil.copy(one.file, other.file)
        await one.store.sealing.reload()
        await other.store.sealing.reload()
        await other.register("bert")
        async with open_postgres_store(url, keys_file=one.file) as late:
            await Node(late, one.file).register("carl")
        uses = [(use.key_id, use.current, use.values) for use in await rotation.keys()]
        assert uses == [(1, True, 4), (2, False, 0)]
        # All use it: what comes at the other node meanwhile, too.
        assert await one.store.sealing.begin()
        await other.register("dora")
        assert await other.sealed_by() == {1, 2}
        assert not await one.store.sealing.begin()  # that is finished first
        done = await rotation.rotate(begin=True)
        assert (done.values, done.forgotten, done.done) == (4, (1,), True)
        await other.register("emil")
        assert await other.sealed_by() == {2}
        assert (set(read_keys(one.file)), set(read_keys(other.file))) == ({2}, {1, 2})
        shutil.copy(one.file, other.file)
        await other.store.sealing.reload()
        for node in (one, other):
            await node.reads("anna", "bert", "carl", "dora", "emil")
        with pytest.raises(Conflict, match="keys add"):
            await rotation.rotate(begin=True)
    async with open_postgres_store(url, keys_file=one.file) as store:
        await Node(store, one.file).reads("anna", "emil")


async def beside_another(url: str, file: Path, second: Coroutine[object, object, object]) -> None:
    """`second` comes while a node of this key file is about to commit that its newest key seals."""
    keys = ColumnKeys(read_keys(file))
    proof = keys.seal(PROOF, keys.current.to_bytes(ID_BYTES, "big"), b"")
    connection, looking = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30), connection.transaction():
            await connection.execute("INSERT INTO column_keys VALUES ($1, $2)", keys.current, proof)
            coming = asyncio.ensure_future(second)
            while not await looking.fetch(  # noqa: ASYNC110  (of another process)
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.01)
        await coming
    finally:
        await connection.close()
        await looking.close()


async def test_e2_of_two_first_nodes_with_different_key_files_one_does_not_start(
    url: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.keys", tmp_path / "second.keys"
    async with open_postgres_store(url, keys_file=first) as store:
        await store.database.change("DELETE FROM column_keys")

    async def start() -> None:
        async with open_postgres_store(url, keys_file=second):
            pass

    with pytest.raises(StoreUnreachable, match=r"second\.keys: this is not the key file of this database"):
        await beside_another(url, first, start())
    async with open_postgres_store(url, keys_file=first):
        pass


async def test_e2_of_two_rotations_to_different_keys_that_begin_at_once_one_is_refused(
    url: str, tmp_path: Path
) -> None:
    async with two(url, tmp_path) as (one, other):
        for node in (one, other):
            add_key(node.file)
        with pytest.raises(
            Conflict, match=r"other\.keys: this is not the key file of this database \(key 2\)"
        ):
            await beside_another(url, one.file, other.store.sealing.begin())
        await one.store.sealing.reload()
        await one.register("anna")
        assert 2 in await one.sealed_by()
        shutil.copy(one.file, other.file)
        assert not await other.store.sealing.begin()
        await other.reads("anna")


async def test_e2_a_node_that_was_forgotten_refuses_and_loses_nothing_until_it_has_the_key(
    url: str, tmp_path: Path
) -> None:
    async with two(url, tmp_path) as (one, other):
        await one.register("anna")
        add_key(one.file)
        await one.store.sealing.begin()  # reads its file by itself
        with pytest.raises(NotOpened, match="sealed by key 2 now"):
            await other.register("bert")
        with pytest.raises(StoreUnreachable, match=r"other\.keys: this is not the key file"):
            async with open_postgres_store(url, keys_file=other.file):
                pass
        with pytest.raises(Conflict, match="not the key file of this database"):
            await other.store.sealing.reload()
        shutil.copy(one.file, other.file)
        await other.store.sealing.reload()
        await other.register("bert")
        await one.reads("anna", "bert")
        shutil.copy(tmp_path / "one.keys", tmp_path / "kept")
        one.file.write_text("nonsense")
        with pytest.raises(Conflict, match="damaged"):
            await one.store.sealing.reload()
        await one.reads("anna", "bert")  # by those that it had


async def test_e2_the_old_key_is_not_forgotten_while_somebody_seals_by_it(url: str, tmp_path: Path) -> None:
    async with two(url, tmp_path) as (one, other):
        await one.register("anna")
        add_key(one.file)
        shutil.copy(one.file, other.file)
        await other.store.sealing.reload()
        holding, go_on = asyncio.Event(), asyncio.Event()

        async def slow(transaction: Transaction) -> None:
            """Of the other node: under the old key, and its commit comes late."""
            value = await seal(transaction, "handles.public_token", account, TOKEN)
            holding.set()
            await go_on.wait()
            await transaction.execute("UPDATE handles SET public_token = $1 WHERE handle = 'anna'", value)

        account = registration("anna").manifest.account_id
        late = asyncio.create_task(other.store.database.run(slow))
        await holding.wait()
        await one.store.sealing.begin()
        while await one.store.sealing.reseal(limit=10):
            pass
        finishing = asyncio.create_task(one.store.sealing.finish())
        await asyncio.sleep(0.3)
        assert not finishing.done()
        go_on.set()
        await late
        with pytest.raises(Unavailable):
            await finishing
        assert set(read_keys(one.file)) == {1, 2}
        assert await one.store.sealing.reseal(limit=10) == 1
        assert await one.store.sealing.finish() == (1,)
        assert (await one.store.accounts.find_handle("anna")).public_token == TOKEN


async def test_e2_a_row_that_somebody_locks_is_not_taken_for_one_that_is_sealed_anew(
    url: str, tmp_path: Path
) -> None:
    async with two(url, tmp_path) as (one, other):
        await one.register("anna")
        add_key(one.file)
        await one.store.sealing.begin()
        locked, go_on = asyncio.Event(), asyncio.Event()

        async def lock(transaction: Transaction) -> None:
            await transaction.rows("SELECT 1 FROM handles FOR UPDATE")
            locked.set()
            await go_on.wait()

        holder = asyncio.create_task(other.store.database.run(lock))
        await locked.wait()
        while await one.store.sealing.reseal(limit=10):
            pass
        with pytest.raises(Unavailable):
            await one.store.sealing.finish()
        go_on.set()
        await holder
        assert set(read_keys(one.file)) == {1, 2}


def test_keys_add_writes_one_key_beside_the_other_and_only_where_nodes_share(tmp_path: Path) -> None:
    file = tmp_path / "column.keys"
    open_keys(file)
    before = read_keys(file)
    (tmp_path / "password").touch(0o600)
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        f'origin = "https://chat.example"\ndata = "{tmp_path}/data"\nkeys_file = "{file}"\n'
        f'[postgres]\nurl = "postgresql://tokenim@127.0.0.1:9/x"\npassword_file = "{tmp_path}/password"\n'
    )
    added = CliRunner().invoke(keys, ["add", "--config", str(cluster), "--json"])
    assert (added.exit_code, json.loads(added.stdout)) == (0, {"file": str(file), "key": 2})
    after = read_keys(file)
    assert set(after) == {1, 2}
    assert after[1] == before[1] != after[2]
    again = CliRunner().invoke(keys, ["add", "--config", str(cluster)])
    assert again.exit_code != 0
    assert "several keys already (1, 2)" in again.stderr
    with pytest.raises(StartRefused):
        add_key(tmp_path / "missing")
    alone = tmp_path / "alone.toml"
    alone.write_text(f'data = "{tmp_path}/data"\n')
    refused = CliRunner().invoke(keys, ["add", "--config", str(alone)])
    assert refused.exit_code == 1
    assert "`tokenim-relay keys rotate` makes the key" in refused.stderr


async def test_e2_the_commands_on_two_nodes_that_run_from_the_new_key_to_the_old_one_gone(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("tokenim\n")
    nodes = []
    for name in ("one", "other"):
        config = tmp_path / f"{name}.toml"
        config.write_text(
            f'origin = "https://chat.example"\nsigning_key_file = "{tmp_path}/relay.key"\n'
            f'keys_file = "{tmp_path}/{name}.keys"\n[postgres]\nurl = "{url.replace(":tokenim@", "@")}"\n'
            f'password_file = "{tmp_path}/password"\n'
        )
        arguments = ("--config", str(config))
        nodes.append(
            RelayProcess(tmp_path / name, tmp_path / f"{name}.log", arguments=arguments, program=warm_relay())
        )
    one, other = nodes

    async def told(node: RelayProcess, command: str) -> str:
        arguments = [*node.program, "keys", command, "--data", str(node.data), "--config"]
        config = tmp_path / f"{node.data.name}.toml"
        process = await asyncio.create_subprocess_exec(
            *arguments, str(config), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    async def show(node: RelayProcess, words: str) -> None:
        async with asyncio.timeout(30):
            while words not in await told(node, "show"):
                pass

    async with one, other:
        await one.start()
        shutil.copy(tmp_path / "one.keys", tmp_path / "other.keys")
        await other.start()
        assert "key 2 is in " in await told(one, "add")
        shutil.copy(tmp_path / "one.keys", tmp_path / "other.keys")
        for node in nodes:
            os.kill(node.pid, signal.SIGHUP)
            await show(node, "key    2          0 values  not used yet")
        assert "1 values are sealed by key 2; forgotten: 1" in await told(one, "rotate")
        await show(other, "key    2          1 values  seals what is written")
        (tmp_path / "other.keys").write_text("nonsense")
        os.kill(other.pid, signal.SIGHUP)
        async with asyncio.timeout(30):
            while "key_file_refused" not in other.log.read_text():  # noqa: ASYNC110  (of another process)
                await asyncio.sleep(0.05)
        shutil.copy(tmp_path / "one.keys", tmp_path / "other.keys")
        os.kill(other.pid, signal.SIGHUP)
        async with asyncio.timeout(30):
            while len((await told(other, "show")).splitlines()) > 1:
                pass
