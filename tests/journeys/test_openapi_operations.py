"""Each operation of both descriptions succeeds once, and its answer is what the description says."""

import asyncio
import base64
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import schemathesis

from relay.wire.codec import SUBPROTOCOL, decode_from_relay
from relay.wire.frames import Challenge, Outcome
from relay.wire.links import encode_bytes, encode_id, parse_invite
from relay.wire.transcripts import log_append_transcript, recovery_request_transcript
from tests.journeys.test_openapi_against_relay import CHECKS, description, serving_for_descriptions, signed
from tests.raw_device import RawDevice, told

pytestmark = pytest.mark.timeout(120)
OWN_CONNECTION = "GET /v1/connect"
"""Its success is a WebSocket, which requests cannot open."""
OF_BROWSERS = {"POST /admin/v1/log-in", "GET /admin/v1/session", "POST /admin/v1/log-out"}
"""With a link and a cookie: tests/journeys/test_dashboard_over_http.py."""
TOKEN, READ_TOKEN = bytes(range(16)), bytes(range(32))


@dataclass
class Asking:
    """One description, and which of its operations succeeded."""

    url: str
    schema: Any
    session: requests.Session = field(default_factory=requests.Session)
    done: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return {found.ok().label for found in self.schema.get_all_operations()}

    def ask(
        self,
        label: str,
        by: RawDevice | None = None,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **in_path: str,
    ) -> requests.Response:
        """A request that has to succeed; signed by this device."""
        method, path = label.split(" ", 1)
        operation = self.schema[path][method]
        given: dict[str, Any] = {"body": body} if body is not None else {}
        case = operation.Case(path_parameters=in_path, query=query or {}, headers=headers or {}, **given)
        asked = requests.Request(**case.as_transport_kwargs(base_url=self.url)).prepare()
        if by is not None:
            signed(asked, by, streamed=operation.definition.raw.get("x-signed-body") == "streamed")
        response = self.session.send(asked, timeout=20, allow_redirects=False)
        assert response.status_code < 300, (label, response.status_code, response.text)
        case.validate_response(response, checks=CHECKS)
        self.done.add(label)
        return response


@dataclass
class Scene:
    """A relay with nobody on it."""

    public: Asking
    admin: Asking
    owner_invite: str

    def device(self) -> RawDevice:
        return RawDevice(self.public.url, None, clock=lambda: time.time_ns() // 1_000_000)  # type: ignore[arg-type]

    def come(self, link: str, **more: str) -> RawDevice:
        """A device of a new account."""
        one = self.device()
        one.made.append(one.manifest())
        body = {"invite": encode_bytes(parse_invite(link).secret), "manifest": told(one.made[0]), **more}
        self.public.ask("POST /v1/accounts", body=body)
        return one


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with serving_for_descriptions(tmp_path) as served:
        yield Scene(
            Asking(
                served.url,
                schemathesis.openapi.from_dict(description(served.url, "/v1/openapi.json")),
            ),
            Asking(
                served.admin_url,
                schemathesis.openapi.from_dict(description(served.admin_url, "/admin/v1/openapi.json")),
            ),
            str(served.invite),
        )


def test_each_operation_of_the_public_api_succeeds(scene: Scene) -> None:
    ask = scene.public.ask
    owner = scene.come(scene.owner_invite)
    for label in (
        "/.well-known/tokenim",
        "/health",
        "/ready",
        "/v1/openapi.json",
        "/v1/asyncapi.json",
        "/v1/transparency/head",
    ):
        ask(f"GET {label}")
    accounts(scene, owner)
    letters(scene, owner)
    files_and_logs(scene, owner)
    asyncio.run(connect(scene.public.url))
    scene.public.done.add(OWN_CONNECTION)
    assert scene.public.all - scene.public.done == set()


def accounts(scene: Scene, owner: RawDevice) -> None:
    """Accounts, manifests, invites, handles, profiles, tokens."""
    ask = scene.public.ask
    made = ask("POST /v1/invites", owner, {"role": "member"}).json()
    ask("GET /v1/invites", owner)
    gone = scene.come(made["link"])
    name = ask("POST /v1/invites", owner, {"role": "guest", "stay_seconds": 3_600}).json()["name"]
    ask("DELETE /v1/invites/{name}", owner, name=name)
    ask("DELETE /v1/accounts/self", gone)

    for label in ("", "/export", "/devices"):
        ask(f"GET /v1/accounts/self{label}", owner)
    for label, by, in_path in (
        ("POST /v1/accounts/self/manifests", owner, {}),
        ("POST /v1/accounts/{account_id}/manifests", None, {"account_id": owner.account}),
    ):
        following = owner.manifest(len(owner.made) + 1, owner.made[-1].body)
        ask(label, by, {"manifest": told(following)}, **in_path)
        owner.made.append(following)
    token = {"TokenIM-Delivery-Token": encode_bytes(TOKEN)}
    token_hash = encode_bytes(hashlib.sha256(TOKEN).digest())
    ask("POST /v1/delivery-tokens", owner, {"token_hash": token_hash, "token_class": "contact"})
    ask("GET /v1/delivery-tokens", owner)
    ask("GET /v1/accounts/{account_id}/manifests", headers=token, account_id=owner.account)
    ask("PUT /v1/push", owner, {"kind": "webhook", "target": "https://push.example/"})
    ask("DELETE /v1/push", owner)
    ask("PUT /v1/profile", owner, {"version": 1, "profile": encode_bytes(bytes(64))})
    ask("GET /v1/accounts/{account_id}/profile", headers=token, account_id=owner.account)
    ask("PUT /v1/handle", owner, {"handle": "anna", "public_token": encode_bytes(bytes(16))})
    ask("GET /v1/handles/{handle}", owner, handle="anna")
    ask("DELETE /v1/handle", owner)
    ask("GET /v1/transparency/consistency", query={"from": 1, "to": 2})

    asked = {"account_id": owner.account_id, "time_ms": owner.clock_ms, "nonce": os.urandom(16)}
    proof = owner.root.sign(recovery_request_transcript(origin=owner.origin, **asked)).signature
    body = {
        "account_id": encode_bytes(owner.account_id),
        "time_ms": asked["time_ms"],
        "nonce": encode_bytes(asked["nonce"]),
        "signature": encode_bytes(proof),
    }
    ask("POST /v1/recovery", body=body)


def letters(scene: Scene, owner: RawDevice) -> None:
    """Prekeys, an envelope, the mailbox, link mailboxes."""
    ask = scene.public.ask
    ask("POST /v1/prekeys", owner, {"keys": owner.stock(1)})
    ask("GET /v1/prekeys", owner)
    ask("POST /v1/accounts/{account_id}/bundles", owner, {}, account_id=owner.account)
    device_id = encode_bytes(owner.device_id)
    grant = {
        "account_id": encode_bytes(owner.account_id),
        "token": encode_bytes(TOKEN),
        "manifest_version": 1,
    }
    envelope = {
        "envelope_id": encode_bytes(os.urandom(16)),
        "envelope_class": 1,
        "ttl_seconds": 3_600,
        "ciphertexts": [encode_bytes(bytes(64))],
        "targets": [{"device_id": device_id, "ciphertext": 0, "grant": 0}],
        "grants": [grant],
    }
    assert ask("POST /v1/envelopes", body=envelope).json()["outcomes"] == [Outcome.STORED]
    ask("GET /v1/mailbox", owner, query={"after": 0, "wait_seconds": 0})
    ask("POST /v1/mailbox/ack", owner, {"up_to": 1})
    ask("GET /v1/mailbox/quarantine", owner)
    link = {"link_id": encode_id(os.urandom(16)), "slot": "request"}
    ask("PUT /v1/links/{link_id}/{slot}", body=b"a request", **link)
    ask("GET /v1/links/{link_id}/{slot}", query={"wait_seconds": 0}, **link)
    ask(
        "DELETE /v1/delivery-tokens/{token_hash}",
        owner,
        token_hash=encode_bytes(hashlib.sha256(TOKEN).digest()),
    )


def files_and_logs(scene: Scene, owner: RawDevice) -> None:
    """A blob by tus, the own log, the log of a group."""
    ask, tus = scene.public.ask, {"Tus-Resumable": "1.0.0"}
    ask("OPTIONS /v1/blobs")
    digest = base64.b64encode(hashlib.sha256(b"blob").digest()).decode()
    made = ask(
        "POST /v1/blobs",
        owner,
        headers={**tus, "Upload-Length": "4", "Upload-Metadata": f"sha256 {digest}"},
    )
    blob = {"blob_id": made.headers["Location"].rpartition("/")[2]}
    ask("HEAD /v1/blobs/{blob_id}", owner, headers=tus, **blob)
    ask("PATCH /v1/blobs/{blob_id}", owner, b"blob", headers={**tus, "Upload-Offset": "0"}, **blob)
    assert ask("GET /v1/blobs/{blob_id}", **blob).content == b"blob"
    ask("DELETE /v1/blobs/{blob_id}", owner, headers=tus, **blob)

    ask("POST /v1/logs/{name}", owner, {"index": 0, "entry": encode_bytes(bytes(64))}, name="notes")
    ask("GET /v1/logs/{name}", owner, query={"from": 0}, name="notes")
    ask("DELETE /v1/logs/{name}", owner, query={"before": 1}, name="notes")
    log_id, entry = os.urandom(32), bytes(64)
    body = {
        "log_id": encode_bytes(log_id),
        "write_key": encode_bytes(bytes(owner.key.verify_key)),
        "read_token_hash": encode_bytes(hashlib.sha256(READ_TOKEN).digest()),
        "entry": encode_bytes(entry),
    }
    ask("POST /v1/group-logs", owner, body)
    signature = owner.key.sign(log_append_transcript(log_id=log_id, index=1, entry=entry)).signature
    ask(
        "POST /v1/group-logs/{log_id}/entries",
        body={"index": 1, "entry": encode_bytes(entry), "signature": encode_bytes(signature)},
        log_id=encode_id(log_id),
    )
    ask(
        "GET /v1/group-logs/{log_id}",
        headers={"TokenIM-Log-Token": encode_bytes(READ_TOKEN)},
        query={"from": 0},
        log_id=encode_id(log_id),
    )


async def connect(url: str) -> None:
    """The WebSocket opens."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/v1/connect", protocols=(SUBPROTOCOL,)) as socket,
    ):
        assert isinstance(decode_from_relay(await socket.receive_bytes())[0], Challenge)


def test_each_operation_of_the_second_listener_succeeds(scene: Scene) -> None:
    ask, all_of = scene.admin.ask, scene.admin.all
    owner = scene.come(scene.owner_invite)
    member = scene.public.ask("POST /v1/invites", owner, {}).json()["link"]
    bob = {"account": scene.come(member).account}
    for path in ("/metrics", "/health", "/ready", "/", "/admin/v1/openapi.json"):
        ask(f"GET {path}")
    ask("GET /page/{name}", name="app.js")

    def run(command: str, **arguments: Any) -> Any:
        return ask(f"POST /admin/v1/{command}", owner, arguments).json()

    run("account.suspend", **bob)
    run("account.resume", **bob)
    run("role.grant", **bob, role="auditor")
    run("role.revoke", **bob)
    run("retention.hold", **bob, reason="case-1", days=1)
    run("retention.release", **bob)
    run("retention.run")
    run("handle.reserve", handle="admin")
    run("handle.release", handle="admin")
    run("invite.create", role="member")
    run("invite.revoke", name=run("invite.list")["invites"][0]["name"])
    left = {label for label in all_of - scene.admin.done - OF_BROWSERS if label.startswith("POST")}
    for label in left - {"POST /admin/v1/account.delete"}:
        ask(label, owner, {})  # those that only tell something, and take nothing
    run("account.delete", **bob)
    assert all_of - scene.admin.done == OF_BROWSERS
