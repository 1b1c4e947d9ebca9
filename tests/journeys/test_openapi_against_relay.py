"""The served descriptions against the relay: requests that schemathesis makes from them, signed as owner, member and guest.

Whatever is sent, the relay never fails, and what it answers is what the description says: status, media type, schema.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.raw_device import RawDevice
from tests.relay_process import Served, serving

pytestmark = pytest.mark.timeout(240)
WHO = ("owner", "member", "guest")
NO_ROOM = 507


def never_fails(_context: Any, response: Any, _case: Any) -> bool | None:
    """A relay that is not loaded answers every request; a quota is the only server error that there is."""
    assert response.status_code < 500 or response.status_code == NO_ROOM, response.text
    return None


CHECKS = [
    never_fails,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 6
NO_RATES = "".join(
    f"{name} = {{ burst = 1000000, per_second = 1000000 }}\n"
    for name in (
        *("address", "device", "registration", "lookup", "upload", "link", "recovery"),
        *("group_log", "export", "token", "submit", "submit_address"),
    )
)
ENDS_ACCOUNT = ("DELETE", "/v1/accounts/self")
"""Who is gone has nothing more to ask: this one is asked by accounts of its own."""


@schemathesis.serializer("application/octet-stream", "application/offset+octet-stream")
def _octets(_context: Any, value: Any) -> bytes:
    """Bytes as they are; what is no bytes, as its text."""
    return value if isinstance(value, bytes) else str(getattr(value, "data", value)).encode()


@dataclass(frozen=True)
class Town:
    """A relay, and a device of each role; the description of each listener."""

    url: str
    admin_url: str
    devices: Mapping[str, RawDevice]


async def _people(url: str, owner_invite: str) -> dict[str, RawDevice]:
    async with aiohttp.ClientSession() as session:

        def device() -> RawDevice:
            return RawDevice(url, session, clock=lambda: time.time_ns() // 1_000_000)

        async def come(link: str) -> RawDevice:
            one = device()
            registered = await one.register(link)
            assert registered.status == 201, registered.body
            return one

        owner = await come(owner_invite)
        links = [
            (await owner.call("POST", "/v1/invites", {"role": role, "stay_seconds": stay})).json["link"]
            for role, stay in (("member", None), ("guest", 3_600))
        ]
        return {"owner": owner, "member": await come(links[0]), "guest": await come(links[1])}


@contextmanager
def serving_for_descriptions(folder: Path) -> Iterator[Served]:
    """A relay process with both listeners, which refuses nothing for its rate."""
    config = folder / "relay.toml"
    config.write_text(
        f"[rates]\n{NO_RATES}[shed]\nloop_late_ms = 60000\ndisk_free_bytes = 0\n[push]\nwebhook = true\n"
    )
    options = ("--config", str(config), "--admin-listen", "127.0.0.1:0")
    with serving(folder / "data", *options) as served:
        yield served
        code, errors = served.stop()
        assert code == 0
        assert '"level":"error"' not in errors, errors[-2_000:]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with serving_for_descriptions(tmp_path_factory.mktemp("openapi")) as served:
        assert served.invite is not None
        devices = asyncio.run(_people(served.url, served.invite))
        yield Town(served.url, served.admin_url, devices)


def signed(prepared: requests.PreparedRequest, device: RawDevice, *, streamed: bool) -> None:
    """Put the signature of this device on the request, as it will be sent."""
    body = prepared.body or b""
    data = body.encode() if isinstance(body, str) else body
    parts = urlsplit(str(prepared.url))
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    offset = prepared.headers.get("Upload-Offset", "0")
    prepared.headers["Authorization"] = device.authorization(
        str(prepared.method),
        target,
        b"streamed" if streamed else hashlib.sha256(data).digest(),
        upload_offset=int(offset) if streamed and offset.isdigit() else None,
    )


def description(url: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{url}{path}", timeout=10).json()
    return found


def explore(schema: Any, url: str, device: RawDevice, mode: GenerationMode) -> int:
    """Try every operation; how many requests were answered."""
    answered = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            raw = operation.definition.raw
            takes_nothing = not raw.get("parameters") and "requestBody" not in raw
            if (operation.method.upper(), operation.path) == ENDS_ACCOUNT or (
                takes_nothing and mode is GenerationMode.NEGATIVE
            ):
                continue

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def one(case: Any) -> None:
                asked = requests.Request(**case.as_transport_kwargs(base_url=url)).prepare()
                signed(asked, device, streamed=raw.get("x-signed-body") == "streamed")  # noqa: B023
                response = session.send(asked, timeout=20, allow_redirects=False)
                answered.append(response.status_code)
                case.validate_response(response, checks=CHECKS)

            one()
    return len(answered)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    ("listener", "path", "least"),
    [("url", "/v1/openapi.json", 100), ("admin_url", "/admin/v1/openapi.json", 50)],
    ids=["public", "operators"],
)
def test_what_is_made_from_a_description_is_answered_as_it_says(
    town: Town, listener: str, path: str, least: int, who: str, mode: GenerationMode
) -> None:
    url = getattr(town, listener)
    schema = schemathesis.openapi.from_dict(description(url, path))
    assert explore(schema, url, town.devices[who], mode) > least
