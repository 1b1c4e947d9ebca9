"""E9: a push endpoint is whatever a user wrote. It leads to public addresses alone, whatever it is called."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from relay.adapters.memory_clock import ManualClock
from relay.adapters.push.outward import Outward, is_public
from relay.config import ConfigInvalid, load_settings
from relay.ports.pusher import Outcome, PushAnswer
from tests.contract.people import NOW_MS

FORBIDDEN = PushAnswer(Outcome.REFUSED, "forbidden_address")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "0.0.0.0", "0.1.2.3", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1"),
        *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
        ),
        *("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:808:808::"),
        *("2001::1", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1"),
    ],
)
def test_e9_no_address_of_this_machine_or_of_a_private_network(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [*("8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8")],
)
def test_e9_public_addresses_are_reached(address: str) -> None:
    assert is_public(address)


@dataclass
class Trap:
    """A listener that must not be reached."""

    port: int
    reached: int = 0


@asynccontextmanager
async def open_trap(host: str = "127.0.0.1") -> AsyncIterator[Trap]:
    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trap.reached += 1
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    trap = Trap(0)
    server = await asyncio.start_server(take, host, 0)
    trap.port = server.sockets[0].getsockname()[1]
    async with server:
        yield trap


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        *("2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "0.0.0.0", "[::]", "[::127.0.0.1]"),
    ],
)
async def test_e9_no_way_to_write_loopback_reaches_it(host: str) -> None:
    outward = Outward(ManualClock(NOW_MS))
    async with open_trap() as trap:
        answer = await outward.post(f"https://{host}:{trap.port}/", {}, b"")
        await outward.close()
        assert answer.outcome is not Outcome.SENT
        assert answer.detail in ("forbidden_address", "unreachable", "bad_request")
        assert trap.reached == 0


async def test_e9_the_trap_is_reached_by_whoever_is_not_held() -> None:
    async with open_trap() as trap:
        outward = Outward(ManualClock(NOW_MS), ("127.0.0.1",))
        answer = await outward.post(f"http://127.0.0.1:{trap.port}/", {}, b"")
        await outward.close()
        assert answer.outcome is Outcome.SENT
        assert trap.reached == 1


def looked_up(*rounds: list[str]) -> tuple[Callable[..., object], list[int]]:
    """A resolver that gives these addresses, another list each time; and how often it was asked."""
    asked = [0]

    def getaddrinfo(_host: object, port: int, *_rest: object, **_more: object) -> object:
        found = rounds[min(asked[0], len(rounds) - 1)]
        asked[0] += 1
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (one, port, 0, 0) if ":" in one else (one, port),
            )
            for one in found
        ]

    return getaddrinfo, asked


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "169.254.169.254"])
async def test_e9_a_name_that_leads_inside_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, _ = looked_up([address])
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    outward = Outward(ManualClock(NOW_MS))
    async with open_trap() as trap:
        assert await outward.post(f"https://push.example:{trap.port}/", {}, b"") == FORBIDDEN
        await outward.close()
        assert trap.reached == 0


async def test_e9_a_name_that_changes_between_check_and_use_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is one look-up, and what it gave is what is checked: a second answer is never asked for."""
    connected: list[str] = []

    async def connect(_loop: object, _socket: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    resolver, asked = looked_up(["8.8.8.8"], ["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(type(asyncio.get_running_loop()), "sock_connect", connect)
    outward = Outward(ManualClock(NOW_MS))
    assert (await outward.post("https://push.example/", {}, b"")).detail == "unreachable"
    assert (connected, asked) == (["8.8.8.8"], [1])
    assert await outward.post("https://push.example/", {}, b"") == FORBIDDEN
    assert (connected, asked) == (["8.8.8.8"], [2])
    await outward.close()


async def test_e9_an_inner_address_behind_a_public_one_is_not_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected: list[str] = []

    async def connect(_loop: object, _socket: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    resolver, _ = looked_up(["8.8.8.8", "127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(type(asyncio.get_running_loop()), "sock_connect", connect)
    outward = Outward(ManualClock(NOW_MS))
    assert await outward.post("https://push.example/", {}, b"") == FORBIDDEN
    assert connected == ["8.8.8.8"]
    await outward.close()


@pytest.mark.parametrize(
    ("target", "detail"),
    [
        ("http://8.8.8.8/", "forbidden_address"),
        ("http://push.example/", "forbidden_address"),
        ("ftp://push.example/", "bad_request"),
        ("file:///etc/passwd", "bad_request"),
        ("https://user:word@push.example/", "bad_request"),
        ("https://", "bad_request"),
        ("https://push.example:99999/", "bad_request"),
        ("//push.example/", "bad_request"),
        ("https://[::1/", "bad_request"),
    ],
)
async def test_e9_in_the_clear_or_by_another_scheme_nothing_goes_out(target: str, detail: str) -> None:
    outward = Outward(ManualClock(NOW_MS))
    answer = await outward.post(target, {}, b"")
    await outward.close()
    assert (answer.outcome, answer.detail) == (Outcome.REFUSED, detail)


async def test_e9_a_host_is_allowed_by_its_name_and_port_and_no_other() -> None:
    async with open_trap() as trap, open_trap() as other:
        outward = Outward(ManualClock(NOW_MS), (f"127.0.0.1:{trap.port}",))
        assert (await outward.post(f"http://127.0.0.1:{trap.port}/", {}, b"")).outcome is Outcome.SENT
        assert await outward.post(f"http://127.0.0.1:{other.port}/", {}, b"") == FORBIDDEN
        await outward.close()
        assert (trap.reached, other.reached) == (1, 0)


@pytest.mark.parametrize(
    ("target", "is_taken"),
    [
        ("https://push.example/x", True),
        ("https://8.8.8.8/x", True),
        ("https://[2606:4700::1111]:8443/x", True),
        ("http://ntfy.lan/x", True),  # named in the settings
        ("http://push.example/x", False),
        ("https://127.0.0.1/x", False),
        ("https://[::ffff:10.0.0.1]/x", False),
        ("https://[fe80::1%25eth0]/x", False),
        ("https://user@push.example/x", False),
        ("wss://push.example/x", False),
        ("https://[::1/", False),
        ("", False),
    ],
)
def test_e9_what_is_no_place_to_reach_out_to_is_told_who_registers_it(target: str, is_taken: bool) -> None:
    assert Outward(ManualClock(NOW_MS), ("ntfy.lan",)).takes(target) is is_taken


async def test_e9_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look names up itself, where nothing guards what they lead to."""
    async with open_trap() as trap, open_trap() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        outward = Outward(ManualClock(NOW_MS), ("127.0.0.1",))
        assert (await outward.post(f"http://127.0.0.1:{trap.port}/", {}, b"")).outcome is Outcome.SENT
        assert await outward.post("https://localhost/", {}, b"") == FORBIDDEN
        await outward.close()
        assert (trap.reached, proxy.reached) == (1, 0)


@pytest.mark.parametrize(
    "wrong", ["https://push.lan", "push.lan/path", "", "a@b", "push.lan:x", "push.lan:0"]
)
def test_a_host_in_the_settings_is_a_host(wrong: str) -> None:
    with pytest.raises(ConfigInvalid):
        load_settings(file=None, environment={}, command_line={"push": {"allow_hosts": (wrong,)}})


def test_web_push_needs_a_contact() -> None:
    with pytest.raises(ConfigInvalid, match="contact"):
        load_settings(file=None, environment={}, command_line={"push": {"web": True}})
    for contact in ("admin", "http://x.example", "tel:1"):
        with pytest.raises(ConfigInvalid):
            load_settings(file=None, environment={}, command_line={"push": {"web": True, "contact": contact}})
