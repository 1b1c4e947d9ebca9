"""HTTP to addresses that users named: public ones only, by https, never by a redirect (E9).

What is checked is the address that the socket is about to connect to, whatever name led there: there
is no second look-up that could give another one. Hosts that the operator names are not checked.
"""

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
from yarl import URL

from relay.ports.clock import Clock
from relay.ports.pusher import Outcome, PushAnswer

from .http_answers import BAD_REQUEST, SILENT, UNREACHABLE, UNREGISTERED, answer_of

TOTAL_SECONDS: Final = 15
CONNECT_SECONDS: Final = 5
FORBIDDEN: Final = PushAnswer(Outcome.REFUSED, "forbidden_address")
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NOT_OURS_4: Final = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
_NOT_OURS: Final = (
    *(ipaddress.ip_network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")),
)


class ForbiddenAddress(Exception):
    """The name leads to an address that is not reached out to."""


def is_public(address: str) -> bool:
    """Whether it is a unicast address of the public Internet; of IPv6 forms that hold an IPv4 address, whether that one is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_public_4(ip)
    inner = ip.ipv4_mapped
    if inner is None and ip in _NAT64:
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    if inner is not None:
        return _is_public_4(inner)
    return ip in _GLOBAL_UNICAST and ip.is_global and not any(ip in network for network in _NOT_OURS)


def _is_public_4(ip: ipaddress.IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_OURS_4)


def guarded_socket(found: tuple[Any, ...]) -> socket.socket:
    """A socket for this result of a look-up; raises ForbiddenAddress."""
    family, kind, protocol, _, address = found
    if not is_public(address[0]):
        raise ForbiddenAddress
    return socket.socket(family, kind, protocol)


def _url_of(target: str) -> URL | None:
    """None for what is none of HTTP, or has a user's name in it."""
    try:
        url = URL(target)
    except ValueError:
        return None
    return None if not url.host or url.user is not None or url.scheme not in ("http", "https") else url


def judged(status: int, headers: Mapping[str, str], now_ms: int) -> PushAnswer:
    """What a status means where the URL itself is the registration: 404 says that it is gone."""
    if status == 404:
        return UNREGISTERED
    return answer_of(status, headers.get("Retry-After"), now_ms)


class Outward:
    """Posts wakeups. Knows nothing of what is in them."""

    def __init__(self, clock: Clock, allow_hosts: Sequence[str] = ()) -> None:
        self._clock = clock
        self._allowed = frozenset(allow_hosts)
        self._guarded: aiohttp.ClientSession | None = None
        self._free: aiohttp.ClientSession | None = None

    def _session(self, *, free: bool) -> aiohttp.ClientSession:
        session = self._free if free else self._guarded
        if session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,
                happy_eyeballs_delay=None,
                socket_factory=None if free else guarded_socket,
            )
            session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,  # a proxy would look the name up itself
            )
            if free:
                self._free = session
            else:
                self._guarded = session
        return session

    def is_allowed(self, url: URL) -> bool:
        """Whether the operator named this host."""
        return url.host is not None and not self._allowed.isdisjoint(
            (url.host.lower(), f"{url.host.lower()}:{url.port}", f"[{url.host.lower()}]:{url.port}")
        )

    def takes(self, target: str) -> bool:
        """Whether it could be posted to; what a name leads to is looked at when it is."""
        url = _url_of(target)
        if url is None:
            return False
        if self.is_allowed(url):
            return True
        try:
            return url.scheme == "https" and is_public(url.host or "")
        except ValueError:
            return url.scheme == "https"  # a name

    async def post(self, target: str, headers: Mapping[str, str], body: bytes) -> PushAnswer:
        """What came back; of the service's answer the body is not read."""
        url = _url_of(target)
        if url is None:
            return BAD_REQUEST
        free = self.is_allowed(url)
        if url.scheme != "https" and not free:
            return FORBIDDEN
        try:
            async with self._session(free=free).post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return judged(response.status, response.headers, self._clock.now_ms())
        except ForbiddenAddress:
            return FORBIDDEN
        except aiohttp.InvalidURL:
            return BAD_REQUEST
        except TimeoutError:
            return SILENT
        except (aiohttp.ClientError, OSError):
            return UNREACHABLE

    async def close(self) -> None:
        """Give connections back."""
        for session in (self._guarded, self._free):
            if session is not None:
                await session.close()
