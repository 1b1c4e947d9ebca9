"""Addresses and paths as settings have them: where to listen, whom to believe, which pages may come, where a secret lies."""

import ipaddress
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator


def listed(value: object) -> object:
    """The environment holds a list as words with commas between them."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{error}: write an address or a network, as in 10.0.0.2 or 10.0.0.0/8") from None
    if network.prefixlen == 0:
        raise ValueError(
            f"{value} is everybody: then anybody could say where they come from; name the proxy's addresses"
        )
    return network


Networks: TypeAlias = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], BeforeValidator(listed)
]
"""Addresses and networks."""


def check_origin(value: str) -> str:
    """The value, if it is an http or https origin; raises ValueError."""
    parts = urlsplit(value)
    bare = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or value != bare:
        raise ValueError(
            "an origin is scheme://host or scheme://host:port, without a path or a slash at the end"
        )
    return value


_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def _web_origin(value: str) -> str:
    """As browsers write it, since it is compared with what they send."""
    if "*" in value:
        raise ValueError(
            "* would let every page that a user visits speak with this relay: name the origins of the pages that may"
        )
    scheme = urlsplit(check_origin(value)).scheme
    written = value.lower().removesuffix(_DEFAULT_PORTS[scheme])
    if value != written:
        raise ValueError(f"browsers write this origin {written}: so does this setting")
    return value


WebOrigins: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_web_origin)], ...], BeforeValidator(listed)
]
"""Origins of pages, exactly as browsers send them."""


def _names_a_file(value: object) -> object:
    if isinstance(value, str) and ("-----BEGIN" in value or "\n" in value):
        raise ValueError("names a file; what is secret stands in that file, and never in a setting")
    return value


SecretFile: TypeAlias = Annotated[Path, BeforeValidator(_names_a_file)]
"""The path of a file (mode 0600) that holds a secret: an environment or a command line shows a path, and no secret."""


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPv6]:PORT`; raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("an address to listen on is HOST:PORT, like 127.0.0.1:8080")
    if host.startswith("["):
        host = str(ipaddress.IPv6Address(host.strip("[]")))
    elif ":" in host:
        raise ValueError("an IPv6 address to listen on stands in brackets, like [::1]:8787")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. Of names, `localhost` alone counts."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
