"""What must never come out: secrets in logs and error bodies (D8), addresses on disk or in logs (C2)."""

import base64
import hashlib
import io
import ipaddress
import json
import os
from pathlib import Path

import pytest

from relay.services.identity import Identity
from relay.wire.links import decode_bytes, encode_bytes, encode_id, parse_invite
from tests.hostile.leak_scanner import LeakScanner
from tests.hostile.relay_files import RelayFiles
from tests.raw_device import JSON, Answered, send, told
from tests.running_relay import open_world

ADDRESSES = ("203.0.113.77", "2001:db8:7777:8888:9999:aaaa:bbbb:cccc")


async def test_d8_canary_secrets_in_every_field_come_out_nowhere(monkeypatch: pytest.MonkeyPatch):
    canaries = {
        "invite": os.urandom(16),
        "token": os.urandom(16),
        "public token": os.urandom(16),
        "nonce": os.urandom(16),
        "body": b"canary in a json body that is refused",
        "header": b"canary in a header that is refused",
        "query": b"canary-in-a-query-that-is-refused",
        "path": os.urandom(32),
        "bug": b"canary in the words of an exception",
    }
    text = {name: encode_bytes(value) for name, value in canaries.items()}
    async with open_world(store="sqlite", log_level="debug") as world:
        device, refused = await world.member(), []

        async def ask(method: str, target: str, data: bytes = b"", **headers: str) -> None:
            answered: Answered = await send(
                world.session, method, world.relay.url + target, data=data or None, headers=headers
            )
            assert answered.status >= 400, (target, answered.status)
            refused.append(answered)

        registration = {"invite": text["invite"], "manifest": told(world.device().manifest())}
        await ask("POST", "/v1/accounts", json.dumps(registration).encode(), **JSON)
        await ask(
            "POST",
            "/v1/accounts",
            json.dumps({**registration, canaries["body"].decode(): 1}).encode(),
            **JSON,
        )
        await ask(
            "POST",
            "/v1/accounts",
            json.dumps({**registration, "handle": canaries["body"].decode()}).encode(),
            **JSON,
        )
        await ask("POST", "/v1/accounts", canaries["body"], **JSON)
        chain = f"/v1/accounts/{device.account}/manifests"
        await ask("GET", chain, **{"TokenIM-Delivery-Token": text["token"]})
        await ask("GET", chain, **{"TokenIM-Delivery-Token": canaries["header"].decode()})
        await ask(
            "GET", f"{chain}?from={canaries['query'].decode()}", **{"TokenIM-Delivery-Token": text["token"]}
        )
        await ask("GET", f"/v1/blobs/{encode_id(canaries['path'])}")
        await ask("GET", f"/v1/{canaries['query'].decode()}")
        await ask("GET", "/v1/accounts/self", Authorization=canaries["header"].decode())
        signed = device.authorization(
            "GET", "/v1/prekeys", hashlib.sha256(b"").digest(), nonce=canaries["nonce"]
        )
        canaries["signature"] = decode_bytes(signed.rpartition('signature="')[2][:-1])
        await ask("GET", "/v1/accounts/self", Authorization=signed)
        await ask("POST", "/v1/blobs", **{"Upload-Metadata": canaries["header"].decode()})

        def broken(*_: object) -> None:
            raise ValueError(canaries["bug"].decode())

        monkeypatch.setattr(Identity, "find", broken)
        failed = await device.call("GET", "/v1/handles/anna")
        assert (failed.status, failed.code) == (500, "internal")
        refused.append(failed)
        log = world.relay.log.getvalue()

    assert failed.json["request_id"] in log  # it can be found, by its id
    assert '"error":"ValueError"' in log
    scanner = LeakScanner(canaries)
    told_outside = log.encode() + b"".join(
        answered.body + str(dict(answered.headers)).encode() for answered in refused
    )
    assert scanner.scan(told_outside, "logs and errors") == []
    assert scanner.scan(told_outside + encode_bytes(canaries["token"]).encode(), "planted") != []


async def test_c2_no_address_is_on_disk_or_in_a_log(tmp_path: Path):
    folder = tmp_path / "data"
    proxy = {"trusted": ["127.0.0.1"]}
    async with open_world(store="sqlite", folder=folder, proxy=proxy, log_level="debug") as world:
        for address in ADDRESSES:
            world.session.headers["X-Forwarded-For"] = address
            device = await world.member(handle=None)
            await device.add_token(bytes(16))
            await device.call("GET", "/v1/handles/nobody")
            await send(world.session, "POST", world.relay.url + "/v1/accounts", data=b"{}", headers=JSON)
            data = os.urandom(5_000)
            named = base64.b64encode(hashlib.sha256(data).digest()).decode()
            begun = await device.call(
                "POST",
                "/v1/blobs",
                headers={
                    "Tus-Resumable": "1.0.0",
                    "Upload-Length": "5000",
                    "Upload-Metadata": f"sha256 {named}",
                },
            )
            path = begun.headers["Location"]
            proof = device.authorization("PATCH", path, b"streamed", upload_offset=0)
            headers = {
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": "0",
                "Content-Type": "application/offset+octet-stream",
                "Authorization": proof,
            }
            patched = await send(
                world.session, "PATCH", world.relay.url + path, data=io.BytesIO(data), headers=headers
            )
            assert patched.status == 204
        assert parse_invite(await world.relay.invite()).origin == world.relay.url
        log = world.relay.log.getvalue()
        everything = log.encode() + b"".join(file.read_bytes() for file in RelayFiles(folder).files())
    assert len(everything) > 16_000
    for address in ADDRESSES:
        packed = ipaddress.ip_address(address).packed
        for form in (address.encode(), packed.hex().encode(), *([packed] if len(packed) == 16 else [])):
            assert form not in everything
