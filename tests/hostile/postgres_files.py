"""Everything that a PostgreSQL server keeps, in a form that can be searched: files, rows, records of the write-ahead log.

Works on a copy of the folder of a server that was killed; a server of its own opens it.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from tests.hostile.leak_scanner import Finding, LeakScanner
from tests.hostile.planting import NothingToPlantIn
from tests.hostile.relay_files import IDENTITY_TABLES, CopyFailed
from tests.servers.postgres import PROGRAMS, QUICK, PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEEP_THE_LOG: Final = {**QUICK, "wal_keep_size": "4GB"}
"""Settings of a server whose write-ahead log has all that was ever written, from its first day on."""
OWNER_TABLES: Final = IDENTITY_TABLES | {"device_owners", "device_keys"}
"""Where the relay has to know who somebody is. Nothing in them says who wrote to whom."""
MAILBOX_TABLES: Final = frozenset(
    {
        "mailboxes",
        "envelopes",
        "records",
        "settled_marks",
        "missed",
        "prekeys",
        "prekey_heights",
        "push_registrations",
        "push_wakeups",
    }
)
"""Their column device_id says whose mailbox it is: that column may hold the device of who is looked for, no other may."""
_SAMPLES: Final = "pg_statistic"
"""PostgreSQL keeps samples of the columns of all tables there: of owners too."""
_FIRST_SEGMENT: Final = "000000010000000000000001"
_SEGMENT_BYTES: Final = 16 << 20
_RECORD: Final = re.compile(r"len \(rec/tot\): +\d+/ *(\d+),.* lsn: ([0-9A-F]+)/([0-9A-F]+),")
_RELATION: Final = re.compile(r"rel \d+/\d+/(\d+)")
_TABLE_FILES: Final = """
    SELECT c.relname AS name, pg_relation_filenode(o.oid)::text AS file
    FROM pg_class c JOIN pg_class o
      ON o.oid IN (c.oid, c.reltoastrelid)
      OR o.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (c.oid, c.reltoastrelid))
    WHERE c.relkind = 'r' AND pg_relation_filenode(o.oid) IS NOT NULL"""
_MOST_PLANTED: Final = 1_500  # a longer value is kept beside its row


@dataclass(slots=True)
class PostgresFiles:
    """The folder of a PostgresServer: `data` and `log`. Call `read` first."""

    folder: Path
    _table_of: Mapping[str, str] = field(default_factory=dict)  # by the name of a file
    _values: list[tuple[str, str, bytes]] = field(default_factory=list)  # table, column, value

    def files(self) -> list[Path]:
        """Every file."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    @asynccontextmanager
    async def _opened(self) -> "AsyncIterator[asyncpg.Connection[Any]]":
        with PostgresServer(self.folder, settings=KEEP_THE_LOG) as server:
            connection = await asyncpg.connect(server.url())
            try:
                yield connection
            finally:
                await connection.close()

    async def read(self) -> None:
        """All rows, and which file is which table's."""
        async with self._opened() as connection:
            found = await connection.fetch(_TABLE_FILES)
            self._table_of = {row["file"]: row["name"] for row in found}
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            self._values.clear()
            for (table,) in tables:
                for row in await connection.fetch(f'SELECT * FROM "{table}"'):
                    for column, value in row.items():
                        if isinstance(value, str | bytes):
                            encoded = value.encode() if isinstance(value, str) else value
                            self._values.append((table, column, encoded))

    def find_text(self, scanner: LeakScanner) -> list[Finding]:
        """Every hit in every file raw, and in every value of every row: what PostgreSQL compressed is whole there."""
        findings = [hit for path in self.files() for hit in scanner.scan_file(path)]
        for table, _, value in self._values:
            findings += scanner.scan(value, table)
        return findings

    def find_sender(self, names: Mapping[str, bytes], device: Mapping[str, bytes]) -> list[Finding]:
        """Every hit outside the tables of owners; of `device`, outside the column as well that says whose a mailbox is."""
        without_device, all_of_it = LeakScanner(names), LeakScanner({**names, **device})
        findings = []
        for table, column, value in self._values:
            if table not in OWNER_TABLES:
                is_whose = table in MAILBOX_TABLES and column == "device_id"
                findings += (without_device if is_whose else all_of_it).scan(value, table)
        for path in self.files():
            if "pg_wal" in path.parts:
                continue
            tables = self._tables([path.name.partition("_")[0].partition(".")[0]])
            if not tables & OWNER_TABLES:
                findings += (without_device if tables & MAILBOX_TABLES else all_of_it).scan_file(path)
        for where, record, tables in self._records():
            if not tables & OWNER_TABLES:
                findings += (without_device if tables & MAILBOX_TABLES else all_of_it).scan(record, where)
        return findings

    def _tables(self, files: list[str]) -> set[str]:
        """Whose these files are; samples count as a table of owners."""
        tables = {self._table_of[name] for name in files if name in self._table_of}
        return tables | {"accounts"} if _SAMPLES in tables else tables

    def _records(self) -> Iterator[tuple[str, bytes, set[str]]]:
        """(Segment and place, bytes, tables) of each record of the log since the server was made."""
        folder = self.folder / "data" / "pg_wal"
        segments = sorted(path for path in folder.iterdir() if path.is_file() and len(path.name) == 24)
        if not segments or segments[0].name != _FIRST_SEGMENT:
            raise CopyFailed(f"{folder} does not have the whole log")
        log = b"".join(path.read_bytes() for path in segments)
        told = subprocess.run(
            [PROGRAMS / "pg_waldump", "-p", folder, segments[0].name, segments[-1].name],
            capture_output=True,
            text=True,
            check=False,  # it ends with an error: the log has no end but that nothing follows
        ).stdout.splitlines()
        starts, found = [], []
        for line in told:
            if (record := _RECORD.search(line)) is not None:
                at = (int(record[2], 16) << 32) + int(record[3], 16) - _SEGMENT_BYTES
                starts.append(at)
                found.append((at + int(record[1]), self._tables(_RELATION.findall(line))))
        if not starts:
            raise CopyFailed(f"pg_waldump found no record in {folder}")
        ends = [*starts[1:], found[-1][0]]
        for start, end, (_, tables) in zip(starts, ends, found, strict=True):
            yield f"{segments[start // _SEGMENT_BYTES].name} at {start:#x}", log[start:end], tables
        yield f"{segments[ends[-1] // _SEGMENT_BYTES].name} after its end", log[ends[-1] :], set()

    async def plant(self, text: bytes, name: bytes) -> set[str]:
        """Hides both in a row of envelopes: that is found as a row, in the table's file, and in the log."""
        secret = text + b" " + name
        async with self._opened() as connection:
            await connection.execute("SELECT pg_switch_wal()")  # so that one segment has all of it
            planted = await connection.fetchval(
                """UPDATE envelopes SET ciphertext = $1::bytea || substr(ciphertext, length($1::bytea) + 1)
                   WHERE (device_id, sequence) = (
                       SELECT device_id, sequence FROM envelopes
                       WHERE length(ciphertext) BETWEEN length($1::bytea) AND $2 LIMIT 1)
                   RETURNING pg_relation_filenode('envelopes')::text""",
                secret,
                _MOST_PLANTED,
            )
            if planted is None:
                raise NothingToPlantIn(f"no envelope has {len(secret)} to {_MOST_PLANTED} bytes")
            segment = await connection.fetchval("SELECT pg_walfile_name(pg_current_wal_lsn())")
        await self.read()
        return {"envelopes", planted, segment}
