"""Ports for servers that tests start."""

import os
import random
import socket
from typing import Final

# Below the ephemeral range (32768 and up on Linux): no connection of anybody's gets one of these between the look and the
# server's start.
_FIRST: Final = 10_000
_LAST: Final = 32_000
_given: Final[set[int]] = set()
_random: Final = random.Random(os.urandom(16))  # another order in each of the processes that run tests


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment, that nobody gets by chance, and not given before."""
    while True:
        port = _random.randrange(_FIRST, _LAST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
