"""The relay's certificate: what is refused and why, and how another pair comes in."""

import asyncio
import io
import json
import ssl
from pathlib import Path

import pytest

from relay.adapters.memory_clock import ManualClock
from relay.adapters.tls_files import LOOK_SECONDS, TlsFiles, TlsUnusable, open_watch
from relay.observe.logs import EventLog
from tests.certificates import Authority

AUTHORITY = Authority()


def serial_served(files: TlsFiles, trusting: ssl.SSLContext, *, name: str | None = "localhost") -> int:
    """The serial of the certificate that a handshake brings; everything in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = files.context.wrap_bio(to_server, to_client, server_side=True)
    open_ends = [client, server]
    while open_ends:
        for end in tuple(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    return int(client.getpeercert()["serialNumber"], 16)


@pytest.mark.parametrize("name", ["localhost", None])
def test_e7_a_changed_pair_is_served_from_then_on_and_a_bad_one_never(tmp_path: Path, name: str | None):
    first, second, third = (AUTHORITY.pair() for _ in range(3))
    trusting = AUTHORITY.trusting()
    trusting.check_hostname = name is not None
    files = TlsFiles(*first.write(tmp_path))
    assert serial_served(files, trusting, name=name) == first.serial
    assert files.renew() is False

    second.write(tmp_path)
    assert serial_served(files, trusting, name=name) == first.serial
    assert files.renew() is True
    assert serial_served(files, trusting, name=name) == second.serial

    (tmp_path / "fullchain.pem").write_bytes(third.certificate)
    with pytest.raises(TlsUnusable, match="the key does not belong to the certificate"):
        files.renew()
    assert files.renew() is False  # told once for each change
    assert serial_served(files, trusting, name=name) == second.serial
    third.write(tmp_path)
    assert files.renew() is True
    assert serial_served(files, trusting, name=name) == third.serial

    (tmp_path / "privkey.pem").unlink()
    with pytest.raises(TlsUnusable, match=r"privkey\.pem: No such file"):
        files.renew()
    assert serial_served(files, trusting, name=name) == third.serial


def test_a_key_that_was_refused_for_its_mode_is_taken_once_it_is_mended(tmp_path: Path):
    files, renewed = TlsFiles(*AUTHORITY.pair().write(tmp_path)), AUTHORITY.pair()
    _, key = renewed.write(tmp_path, mode=0o644)
    with pytest.raises(TlsUnusable, match="run `chmod 600"):
        files.renew()
    assert not files.renew()
    key.chmod(0o600)
    assert files.renew()
    assert serial_served(files, AUTHORITY.trusting()) == renewed.serial


class Told(io.StringIO):
    """A log that wakes who waits for its next line."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    def flush(self) -> None:
        self.came.set()


async def test_the_files_are_looked_at_now_and_then(tmp_path: Path):
    files, clock, told = TlsFiles(*AUTHORITY.pair().write(tmp_path)), ManualClock(), Told()
    renewed = AUTHORITY.pair()

    async def next_event() -> str:
        await clock.advance(seconds=LOOK_SECONDS)
        await told.came.wait()
        told.came.clear()
        return json.loads(told.getvalue().splitlines()[-1])["event"]

    async with open_watch(files, clock, EventLog(told, clock.now_ms)):
        await clock.advance(seconds=0)
        renewed.write(tmp_path, mode=0o644)
        assert await next_event() == "tls_refused"
        while not clock.waiting():  # noqa: ASYNC110  (until it sleeps again)
            await asyncio.sleep(0)
        renewed.write(tmp_path)
        assert await next_event() == "tls_renewed"
    assert serial_served(files, AUTHORITY.trusting()) == renewed.serial


def test_e7_nothing_older_than_tls_1_3_is_spoken(tmp_path: Path):
    files = TlsFiles(*AUTHORITY.pair().write(tmp_path))
    old = AUTHORITY.trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        serial_served(files, old)


def test_e10_a_key_that_others_can_read_is_not_used(tmp_path: Path):
    with pytest.raises(TlsUnusable, match=r"others can read this secret \(mode 0640\): run `chmod 600"):
        TlsFiles(*AUTHORITY.pair().write(tmp_path, mode=0o640))


@pytest.mark.parametrize(
    ("certificate", "key", "told"),
    [
        (b"", None, "no PEM certificate with its key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "no PEM certificate"),
        (None, b"no key at all", "no PEM certificate with its key"),
        (
            None,
            AUTHORITY.pair(passphrase=b"secret").key,
            "the key is encrypted: write it without a passphrase",
        ),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, certificate: bytes | None, key: bytes | None, told: str):
    files = AUTHORITY.pair().write(tmp_path)
    for path, content in zip(files, (certificate, key), strict=True):
        if content is not None:
            path.write_bytes(content)
    with pytest.raises(TlsUnusable, match=told):
        TlsFiles(*files)
