"""What proxies say of a request: believed only from addresses that the settings name (`proxy.trusted`)."""

import ipaddress
from collections.abc import Sequence

from aiohttp import web

from relay.config import Network


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def client_address(request: web.Request, trusted: Sequence[Network]) -> str | None:
    """The address that rate limits count, kept nowhere: the socket's peer, or whom a chain of trusted proxies saw first.

    X-Forwarded-For is read from its end, where the nearest proxy wrote, up to the first address that is not trusted: what
    stands before that, the client can have made up. What is no address ends it, too.
    """
    address = request.remote
    if not trusted or address is None:
        return address
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while hops and _is_trusted(address, trusted):
        hop = hops.pop().strip()
        if _parsed(hop) is None:
            break
        address = hop
    return address


def forwarded_scheme(request: web.Request, trusted: Sequence[Network]) -> str | None:
    """`https` or `http`, as the nearest proxy got the request; None if it is not trusted or does not say."""
    if not trusted or request.remote is None or not _is_trusted(request.remote, trusted):
        return None
    said = request.headers.getall("X-Forwarded-Proto", [])
    return said[-1].rpartition(",")[2].strip().lower() if said else None
