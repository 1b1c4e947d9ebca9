"""Whom a request comes from: the socket's peer, or what trusted proxies say, and nobody else."""

import ipaddress

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from relay.web.forwarded import client_address, forwarded_scheme

TRUSTED = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.1", "fd00::/8")))


def request_of(peer: str | None, **headers: str | list[str]):
    pairs = CIMultiDict()
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            pairs.add(name.replace("_", "-"), value)
    return make_mocked_request("GET", "/", headers=pairs).clone(remote=peer)


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),  # not a proxy of ours: may say what it likes
        ("10.0.0.2", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.2", ["192.0.2.1, 203.0.113.7"], "203.0.113.7"),  # the client made the first one up
        ("10.0.0.2", ["192.0.2.1", "203.0.113.7, 10.9.9.9"], "203.0.113.7"),  # two proxies, two headers
        ("::ffff:10.0.0.2", ["203.0.113.7"], "203.0.113.7"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.2", ["10.0.0.3"], "10.0.0.3"),  # the client is in the trusted network itself
        ("10.0.0.2", ["unknown"], "10.0.0.2"),
        ("10.0.0.2", [""], "10.0.0.2"),
        ("10.0.0.2", [], "10.0.0.2"),
    ],
)
def test_the_address_that_counts(peer: str, said: list[str], address: str):
    assert client_address(request_of(peer, X_Forwarded_For=said), TRUSTED) == address


def test_nobody_is_believed_unless_named():
    request = request_of("127.0.0.1", X_Forwarded_For="203.0.113.7", X_Forwarded_Proto="https")
    assert client_address(request, ()) == "127.0.0.1"
    assert forwarded_scheme(request, ()) is None


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.2", ["https"], "https"),
        ("10.0.0.2", ["https, HTTP"], "http"),
        ("10.0.0.2", [], None),
        ("198.51.100.1", ["https"], None),
    ],
)
def test_the_scheme_that_a_proxy_saw(peer: str, said: list[str], scheme: str | None):
    assert forwarded_scheme(request_of(peer, X_Forwarded_Proto=said), TRUSTED) == scheme
