"""Makes `schema-N.tar.xz`: the data folder of a relay of this version, as real clients filled it.

python -m tests.upgrades.make_folder, once before a migration changes the schema; what is kept is never made anew.
"""

import asyncio
import io
import lzma
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from client.client import Client

HERE = Path(__file__).parent
RELAY = (sys.executable, "-c", "from relay.cli import main; main()")


async def talk(folder: Path, owner_invite: str, invite: str) -> None:
    """Two accounts with handles, tokens and prekeys, a file, and messages that wait in a mailbox."""
    await Client.register(folder / "alice", owner_invite, handle="alice")
    await Client.register(folder / "bob", invite, handle="bob")
    (folder / "note.txt").write_text("a note\n")
    async with Client.open(folder / "alice") as alice:
        await alice.send("bob", "first")
        await alice.send("bob", file=folder / "note.txt")
        await alice.send("bob", "waits in the mailbox")


def fill(folder: Path) -> None:
    """Serve, talk, stop."""
    data = folder / "data"
    serve = [*RELAY, "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        said: dict[str, str] = {}
        while "ready" not in said:
            word, _, rest = process.stdout.readline().strip().partition(" ")
            said[word] = rest
        create = [*RELAY, "invite", "create", "--data", str(data)]
        invite = subprocess.run(create, capture_output=True, text=True, check=True).stdout.split()[-1]
        asyncio.run(talk(folder, said["invite"], invite))
        process.terminate()


def lighten(database: Path) -> int:
    """One file without most of the one-time keys, which nothing compresses; its schema."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM prekeys WHERE key_class = 2 AND key_id > 3")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = DELETE")
        ((schema,),) = connection.execute("SELECT max(version) FROM schema_version").fetchall()
    return int(schema)


def main() -> None:
    """Make it, unless it is there."""
    os.umask(0o077)
    with TemporaryDirectory() as place:
        fill(Path(place))
        data = Path(place) / "data"
        target = HERE / f"schema-{lighten(data / 'relay.sqlite3')}.tar.xz"
        if target.exists():
            sys.exit(f"{target} is there: the folder of an earlier version stays as it was")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(data.rglob("*")):
                if path.is_file() and path.suffix not in (".lock", ".reserve"):
                    member = tarfile.TarInfo(str(path.relative_to(data)))
                    member.size, member.mode = path.stat().st_size, 0o600
                    archive.addfile(member, io.BytesIO(path.read_bytes()))
        target.write_bytes(lzma.compress(packed.getvalue(), preset=9))
        print(target)


if __name__ == "__main__":
    main()
