"""The relay's certificate and key: read from files, read again when these change. Connections that are open stay as they are.

TLS 1.3 and nothing older: all that speaks the protocol can it, since TLS 1.3 is older than the protocol. ALPN offers HTTP/1.1.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from relay.observe.logs import EventLog
from relay.ports.clock import Clock

from .secret_files import SecretExposed, refuse_exposed

LOOK_SECONDS: Final = 30
_Stamp: TypeAlias = tuple[tuple[int, ...], ...]
_HINTS: Final = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "NO_START_LINE": "one of them is not PEM",
    "EE_KEY_TOO_SMALL": "the key is too short",
    "CA_MD_TOO_WEAK": "the certificate is signed by a hash that is broken",
}


class TlsUnusable(Exception):
    """No TLS with these files; one line that says why."""


def _refuse_passphrase() -> NoReturn:
    raise TlsUnusable(
        "the key is encrypted: write it without a passphrase, as `openssl pkey` does, mode 0600"
    )


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        for path in (certificate, key):
            path.open("rb").close()  # the library names no file in what it raises
        refuse_exposed(key)
        context.load_cert_chain(certificate, key, _refuse_passphrase)
    except SecretExposed as error:
        raise TlsUnusable(str(error)) from error
    except ssl.SSLError as error:
        hint = _HINTS.get(error.reason or "", "no PEM certificate with its key")
        raise TlsUnusable(f"{certificate} and {key}: {hint}") from error
    except OSError as error:
        raise TlsUnusable(f"{error.filename}: {error.strerror}") from error
    return context


class TlsFiles:
    """One pair of files. `context` serves with what was read last, to each connection that begins."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises TlsUnusable."""
        self._files = (certificate, key)
        self._seen = self._stamp()
        self.context: Final = _context(*self._files)
        self._newest = self.context
        self.context.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        """Called in each handshake, whether or not the client named a host."""
        handshake.context = self._newest

    def _stamp(self) -> _Stamp:
        """What changes when a file is written or replaced, or its owner or mode; zeros for one that is not there."""
        stamps: list[tuple[int, ...]] = []
        for path in self._files:
            try:
                status = path.stat()
            except OSError:
                stamps.append((0,))
            else:
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
        return tuple(stamps)

    def renew(self) -> bool:
        """Read the files again if they changed; whether they did. Raises TlsUnusable once for each change; the old pair stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        self._newest = _context(*self._files)
        return True


async def look(files: TlsFiles, log: EventLog) -> None:
    """Take over a pair that changed; one that cannot be used is told, and the old one goes on."""
    try:
        renewed = await asyncio.to_thread(files.renew)
    except TlsUnusable as error:
        log.warning("tls_refused", reason=str(error))
    else:
        if renewed:
            log.info("tls_renewed")


async def _watch(files: TlsFiles, clock: Clock, log: EventLog) -> None:
    while True:
        await clock.sleep(LOOK_SECONDS)
        await look(files, log)


@asynccontextmanager
async def open_watch(files: TlsFiles, clock: Clock, log: EventLog) -> AsyncIterator[None]:
    """Look every LOOK_SECONDS until the block ends."""
    watching = asyncio.create_task(_watch(files, clock, log))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
