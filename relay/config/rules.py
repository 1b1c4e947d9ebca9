"""What settings must be together: nobody is let to speak in the clear with a relay by oversight (E7)."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from .addresses import is_loopback, split_listen
from .settings import Settings

_IN_THE_CLEAR: Final = (
    "by plain HTTP on {} all can be read and changed on its way: set tls.certificate and tls.key, "
    "listen on 127.0.0.1 behind a proxy that speaks TLS, or say plain_http = true"
)


def broken_rules(settings: Settings) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong and what to do) of each rule that these settings break."""
    tls, origin = settings.tls, settings.origin
    if (tls.certificate is None) != (tls.key is None):
        there, missing = ("key", "certificate") if tls.certificate is None else ("certificate", "key")
        yield f"tls.{there}", f"stands without tls.{missing}: TLS needs both"
    if settings.speaks_tls and origin is not None and origin.startswith("http://"):
        yield "origin", "the relay speaks TLS, so it is https://"
    elif origin is not None and _is_in_the_clear(origin) and not settings.plain_http:
        yield (
            "origin",
            "by http all can be read and changed on its way: write https, or say plain_http = true",
        )
    for page in settings.web_origins:
        if _is_in_the_clear(page) and not settings.plain_http:
            yield (
                "web_origins",
                f"{page}: by http a page can be changed on its way: write https, or say plain_http = true",
            )
    if not (settings.speaks_tls or settings.plain_http or is_loopback(split_listen(settings.listen)[0])):
        yield "listen", _IN_THE_CLEAR.format(settings.listen)
    if settings.push.web and settings.push.contact is None:
        yield "push.contact", "is missing: push services of browsers want to know whom they can ask"
    apns = settings.push.apns
    if apns.key_file is not None and apns.missing:
        yield "push.apns.key_file", f"stands without push.apns.{apns.missing[0]}: APNs needs both"
    yield from _of_nodes(settings)
    yield from _of_blobs(settings)
    admin = settings.admin.listen
    if not (
        admin is None or settings.speaks_tls or settings.plain_http or is_loopback(split_listen(admin)[0])
    ):
        yield "admin.listen", _IN_THE_CLEAR.format(admin)


def _of_nodes(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.is_cluster and settings.origin is None:
        yield (
            "origin",
            "is missing: the nodes of one relay have one origin, that of the balancer in front of them",
        )
    if settings.nats.servers and not settings.is_cluster:
        yield (
            "nats.servers",
            "stands without postgres.url: a relay that shares no database has no other nodes",
        )
    if not settings.is_cluster and set(settings.work) != {"api", "push", "housekeeping"}:
        yield (
            "work",
            "leaves something out, and without postgres.url there is no other process that would do it",
        )


def _of_blobs(settings: Settings) -> Iterator[tuple[str, str]]:
    s3 = settings.s3
    if s3.bucket is None and (s3.endpoint or s3.access_key or s3.secret_key_file):
        yield "s3.bucket", "is missing, and the rest of s3 is about one"
    if (s3.access_key is None) != (s3.secret_key_file is None):
        yield "s3.access_key", "and s3.secret_key_file belong together"
    if s3.endpoint is not None and _is_in_the_clear(s3.endpoint) and not settings.plain_http:
        yield (
            "s3.endpoint",
            "by http who is on the way sees which blobs are asked for: write https, or say plain_http = true",
        )


def _is_in_the_clear(origin: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
