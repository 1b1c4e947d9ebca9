"""The unix socket (0600) in the data folder: one line of JSON asks, one answers, then the connection ends.

Who can open it can open the data folder; there is no other check.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from relay.commands.operators import Commands
from relay.observe.logs import EventLog
from relay.services.roles import Authority
from relay.wire.errors import MalformedRequest, RelayError

from .asking import NAME, WITHIN_SECONDS, short_path

_LINE_BYTES: Final = 65_536
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid of who connected


def _bind(folder: Path) -> socket.socket:
    (folder / NAME).unlink(
        missing_ok=True
    )  # of a relay that was killed: the folder's lock says it is not there
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with short_path(folder) as path:
            listener.bind(path)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


@asynccontextmanager
async def open_control(folder: Path, commands: Commands, log: EventLog) -> AsyncIterator[None]:
    """Answer commands on the folder's socket until the block ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(WITHIN_SECONDS):
                reply = await _reply(reader, commands, log, _uid_of(writer))
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, sock=_bind(folder), limit=_LINE_BYTES)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
        (folder / NAME).unlink(missing_ok=True)


def _uid_of(writer: asyncio.StreamWriter) -> int:
    """Which user of the machine asks; the kernel knows."""
    asking = writer.get_extra_info("socket")
    told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(told)[1]
    return uid & 0xFFFFFFFF


async def _reply(reader: asyncio.StreamReader, commands: Commands, log: EventLog, uid: int) -> dict[str, Any]:
    try:
        try:
            request = json.loads(await reader.readline())
            name, arguments = request["command"], request["arguments"]
        except (ValueError, TypeError, KeyError) as error:
            raise MalformedRequest("a command is one line of JSON with `command` and `arguments`") from error
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise MalformedRequest("a command is a name with a table of arguments")
        return {"ok": await commands.run(name, arguments, by=Authority.of_machine(uid))}
    except RelayError as error:
        return {"error": {"code": error.code, "detail": str(error)}}
    except Exception as error:  # noqa: BLE001  (a bug, told to the log; the command line gets a code)
        log.failure("control_bug", error)
        return {"error": {"code": RelayError.code, "detail": RelayError.detail}}
