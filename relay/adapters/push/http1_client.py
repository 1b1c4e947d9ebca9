"""Requests to services that the settings name, over HTTP/1.1. Where users name them, it is not this that asks."""

import ssl
from collections.abc import Mapping

import aiohttp

from .http_answers import MOST_BODY_BYTES, ServiceAnswer, ServiceUnreachable


class Http1Client:
    """POSTs, many at once. Follows no redirect, keeps no cookie, and asks no proxy of the environment."""

    def __init__(self, *, trust: ssl.SSLContext | None = None) -> None:
        """`trust`: whose certificates are believed; default: those of the machine's authorities."""
        self._trust: ssl.SSLContext | bool = trust or True
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> ServiceAnswer:
        """Raises ServiceUnreachable. Has no end of its own: the caller's timeout cancels it.

        A connection that broke is tried again, once: most likely the service had closed it while nobody used it.
        """
        try:
            try:
                return await self._post(url, headers, body)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                return await self._post(url, headers, body)
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnreachable from error

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> ServiceAnswer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._trust),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "tokenim-relay", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        async with self._session.post(url, headers=headers, data=body, allow_redirects=False) as response:
            read = bytearray()
            while len(read) < MOST_BODY_BYTES and (part := await response.content.read(MOST_BODY_BYTES)):
                read += part
            return ServiceAnswer(response.status, response.headers.get("Retry-After"), bytes(read))

    async def close(self) -> None:
        """Give connections back."""
        if self._session is not None:
            await self._session.close()
