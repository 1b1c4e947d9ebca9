"""deploy/nats/nats.conf: three servers with TLS and a password, and nodes that hear each other when one of them is gone."""

import asyncio
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.adapters.nats_bus import NatsBus, NatsOptions, open_nats_bus
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.observe.figures import Figures
from relay.ports.bus import Announcement, NewMail
from tests.architecture.source import ROOT
from tests.certificates import Authority
from tests.servers.nats import NatsServer
from tests.servers.ports import free_port

FILE = (ROOT / "deploy" / "nats" / "nats.conf").read_text()
PASSWORD = "secret of the nodes"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def servers(tmp_path: Path):
    """As the file says it, but for hosts, ports, files and the password."""
    authority = Authority()
    ca = authority.write(tmp_path / "ca.pem")
    certificate, key = authority.pair(names=["localhost"]).write(tmp_path)
    routes = [free_port() for _ in range(3)]
    made = []
    for number, route in enumerate(routes, 1):
        text = replaced(
            FILE,
            ("$NATS_NAME", f"nats{number}"),
            ('listen: "0.0.0.0:4222"', ""),  # NatsServer says it
            ("0.0.0.0:6222", f"127.0.0.1:{route}"),
            ("/etc/nats/server.pem", str(certificate)),
            ("/etc/nats/server.key", str(key)),
            ("/etc/nats/ca.pem", str(ca)),
            ("WRITE-IT-HERE", PASSWORD),
            *((f"nats{at}.example:6222", f"localhost:{port}") for at, port in enumerate(routes, 1)),
        )
        made.append(NatsServer(tmp_path / f"nats{number}", configuration=text))
    with ExitStack() as stack:
        yield authority, [stack.enter_context(server) for server in made]


def opened(authority: Authority, *servers: NatsServer, password: str = PASSWORD, subject: str = "tokenim"):
    """A node that knows these servers."""
    urls = tuple(f"tls://localhost:{server.port}" for server in servers)
    tls: ssl.SSLContext = authority.trusting()
    options = NatsOptions(urls, subject, user="tokenim", password=password, tls=tls)
    return open_nats_bus(options, SystemClock(), system_randomness, Figures())


async def heard_by(one: NatsBus, other: NatsBus, device: bytes) -> None:
    """Published again until it comes, as hints are."""
    heard: list[Announcement] = []
    subscription = other.subscribe(NewMail, heard.append)
    async with asyncio.timeout(30):
        while NewMail((device,)) not in heard:
            one.publish(NewMail((device,)))
            await asyncio.sleep(0.05)
    subscription.cancel()


async def test_nodes_at_different_servers_hear_each_other_also_when_one_server_goes(servers) -> None:
    authority, (first, second, third) = servers
    async with opened(authority, first) as one, opened(authority, second, third) as other:
        await heard_by(one, other, b"1" * 16)
        await asyncio.to_thread(second.stop)
        await heard_by(one, other, b"2" * 16)
        async with opened(authority, third, password="a guess") as stranger:
            assert not stranger.is_connected
        async with (
            opened(authority, third, subject="another") as here,
            opened(authority, third, subject="another") as there,
        ):
            with pytest.raises(TimeoutError):  # no right to it
                async with asyncio.timeout(2):
                    await heard_by(here, there, b"3" * 16)


async def test_without_tls_and_its_authority_nobody_is_let_in(servers) -> None:
    _, (first, *_) = servers
    plain = NatsOptions((first.url,), user="tokenim", password=PASSWORD)
    async with (
        open_nats_bus(plain, SystemClock(), system_randomness, Figures()) as without,
        opened(Authority(), first) as misled,
    ):
        assert not without.is_connected
        assert not misled.is_connected
