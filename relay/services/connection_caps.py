"""How many WebSockets there may be at once: of everybody, from one address prefix, of one device. Counted in memory only (E6)."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from relay.config import LimitSettings
from relay.session.session import Session
from relay.wire.errors import Overloaded, RateLimited

RETRY_MS: Final = 30_000


class ConnectionCaps:
    """Of this node. `most`: what the machine allows, whatever the settings say."""

    def __init__(self, settings: LimitSettings, *, most: int) -> None:
        self._most = most
        self._open = 0
        self._of_prefix: Counter[bytes] = Counter()
        self._of_device: dict[bytes, OrderedDict[Session, None]] = {}
        self.change(settings)

    def change(self, settings: LimitSettings) -> None:
        """Other numbers for connections from now on."""
        self._all = min(settings.connections, self._most)
        self._a_prefix = settings.connections_of_address
        self._a_device = settings.connections_of_device

    @contextmanager
    def place(self, prefix: bytes | None) -> Iterator[None]:
        """A place for one connection from this prefix (None: this machine) until the block ends.

        Raises Overloaded (there is none for anybody), RateLimited (this prefix has all that it gets).
        """
        if self._open >= self._all:
            raise Overloaded(retry_after_ms=RETRY_MS)
        if prefix is not None and self._of_prefix[prefix] >= self._a_prefix:
            raise RateLimited("too many connections from this network", retry_after_ms=RETRY_MS)
        self._open += 1
        if prefix is not None:
            self._of_prefix[prefix] += 1
        try:
            yield
        finally:
            self._open -= 1
            if prefix is not None:
                self._of_prefix[prefix] -= 1
                if not self._of_prefix[prefix]:
                    del self._of_prefix[prefix]

    def join(self, session: Session) -> Session | None:
        """The session is its device's now; the oldest one of the device that has to go for it, if there are too many.

        The oldest, because it is the likeliest to be one whose peer is gone.
        """
        own = self._of_device.setdefault(session.device_id, OrderedDict())
        own[session] = None
        return own.popitem(last=False)[0] if len(own) > self._a_device else None

    def leave(self, session: Session) -> None:
        """It is gone; without effect if it had to go."""
        own = self._of_device.get(session.device_id)
        if own is not None:
            own.pop(session, None)
            if not own:
                del self._of_device[session.device_id]
