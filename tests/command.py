"""The `tokenim` command as a script calls it, in a process of its own that need not import anything (tests/warm)."""

import asyncio
import json
from pathlib import Path

from tests.warm.commands import program

DONE, REFUSED, USAGE, NOT_REACHED = 0, 1, 2, 3


async def start(home: Path, *arguments: str, stdin: bytes | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program("tokenim"),
        "--home",
        str(home),
        *arguments,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def call(home: Path, *arguments: str, stdin: bytes | None = None) -> tuple[int, list[dict], str]:
    """Exit status, the objects printed, and what was told on standard error."""
    process = await start(home, *arguments, "--json", stdin=stdin)
    output, told = await process.communicate(stdin)
    assert b"Traceback" not in told, told.decode()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in output.splitlines()], told.decode()


async def done(home: Path, *arguments: str, stdin: bytes | None = None) -> list[dict]:
    status, shown, told = await call(home, *arguments, stdin=stdin)
    assert status == DONE, told
    return shown
