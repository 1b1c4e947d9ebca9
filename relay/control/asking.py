"""The asking end of the control socket. Imports nothing of the relay: a command is answered before one would be loaded."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

NAME: Final = "control.sock"
WITHIN_SECONDS: Final = 30.0


class NoRelay(Exception):
    """No relay runs on this data folder."""


class CommandRefused(Exception):
    """The running relay refused; `code` as on the wire."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """The socket's path by a descriptor of the folder: the kernel allows 107 bytes for one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def ask(folder: Path, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The running relay's answer; raises NoRelay, CommandRefused."""
    try:
        with short_path(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(WITHIN_SECONDS)
            connection.connect(path)
            connection.sendall(
                json.dumps({"command": command, "arguments": dict(arguments)}).encode() + b"\n"
            )
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except (FileNotFoundError, NotADirectoryError, ConnectionError, TimeoutError) as error:
        raise NoRelay from error
    if not line:
        raise NoRelay
    reply = json.loads(line)
    if "error" in reply:
        raise CommandRefused(reply["error"]["code"], reply["error"]["detail"])
    answer: dict[str, Any] = reply["ok"]
    return answer
