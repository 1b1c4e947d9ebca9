"""Imports what our commands import, then forks itself for each that is asked for: `python -m tests.warm.server SOCKET`."""

import array
import gc
import importlib
import marshal
import os
import pkgutil
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import client
import client.cli
import crypto
import relay
import relay.cli

_ENTRIES = {"tokenim": client.cli.main, "tokenim-relay": relay.cli.main}
_LONGEST_REQUEST = 1 << 18


@dataclass(eq=False)
class _Copy:
    """A process that was forked, and the shadow that waits for its end."""

    pid: int
    handle: int
    shadow: socket.socket


class _Server:
    def __init__(self, place: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(place)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._copies: set[_Copy] = set()

    def serve(self) -> Callable[[], Any] | None:
        """Until nobody asks any more: None. In a copy: what it is to run."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    if (entry := self._take(self._listener.accept()[0])) is not None:
                        return entry
                elif isinstance(key.data, _Copy):
                    self._end(key.data, is_dead=key.fileobj == key.data.handle)
                else:
                    for copy in list(self._copies):
                        self._end(copy, is_dead=False)
                    return None

    def _take(self, shadow: socket.socket) -> Callable[[], Any] | None:
        asked, rights, _, _ = shadow.recvmsg(_LONGEST_REQUEST, socket.CMSG_SPACE(3 * 4))
        if not asked:
            shadow.close()
            return None
        (_, _, data), *_ = rights
        files = array.array("i", data)
        words, folder, environment = marshal.loads(asked)
        pid = os.fork()
        if pid == 0:
            self._leave(shadow, files)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = words
            return _ENTRIES.get(words[0]) or importlib.import_module(words[0]).main
        for number in files:
            os.close(number)
        copy = _Copy(pid, os.pidfd_open(pid), shadow)
        self._copies.add(copy)
        self._selector.register(copy.handle, selectors.EVENT_READ, copy)
        self._selector.register(shadow, selectors.EVENT_READ, copy)
        shadow.send(str(pid).encode())
        return None

    def _leave(self, shadow: socket.socket, files: array.array) -> None:
        """In a copy: nothing of the server stays open."""
        self._selector.close()
        self._listener.close()
        shadow.close()
        for copy in self._copies:
            copy.shadow.close()
            os.close(copy.handle)
        for place, number in enumerate(files):
            os.dup2(number, place)
            os.close(number)

    def _end(self, copy: _Copy, *, is_dead: bool) -> None:
        """It is dead: its shadow is told how it ended. Or the shadow is gone: it goes too."""
        if copy not in self._copies:
            return  # both at once
        self._copies.remove(copy)
        if not is_dead:
            os.kill(copy.pid, signal.SIGKILL)
        _, status = os.waitpid(copy.pid, 0)
        self._selector.unregister(copy.handle)
        self._selector.unregister(copy.shadow)
        os.close(copy.handle)
        if is_dead:
            with suppress(BrokenPipeError):  # killed in this moment
                copy.shadow.send(str(os.waitstatus_to_exitcode(status)).encode())
        copy.shadow.close()


def _import_all() -> None:
    for package in (crypto, client, relay):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def main() -> None:
    _import_all()
    server = _Server(sys.argv[1])
    gc.collect()
    gc.freeze()  # copies share what is here, and do not look at it again
    os.write(1, b"ready\n")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    entry = server.serve()
    if entry is not None:
        sys.exit(entry())


main()
