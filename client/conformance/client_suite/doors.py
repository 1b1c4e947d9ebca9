"""The HTTP side of the scripted relay: as much as a client needs to register, be found and fetch keys."""

import json
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, Final

from aiohttp import web

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base32, to_base64

from . import checks
from .account_doors import AccountDoors, known
from .blob_doors import BlobDoors
from .bodies import check_body, check_query
from .group_doors import GroupDoors
from .house import Account, House
from .mailbox_doors import MailboxDoors
from .refusal import Refusal
from .socket_door import Connection, connect, replace

Answer = web.Response | Awaitable[web.Response]
Door = Callable[[web.Request, bytes, Account | None], Answer]
_UNPLAYED: Final = (
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/asyncapi.json"),
    ("DELETE", "/v1/accounts/self"),
    ("GET", "/v1/accounts/self/export"),
    ("POST", "/v1/recovery"),
    ("POST", "/v1/invites"),
    ("GET", "/v1/invites"),
    ("DELETE", "/v1/invites/{name}"),
    ("OPTIONS", "/v1/blobs"),
    ("PUT", "/v1/links/{link_id}/{slot}"),
    ("GET", "/v1/links/{link_id}/{slot}"),
)
"""Resources of the document that no case needs: who asks is told `not_found`, and has done nothing wrong."""


class Doors:
    """`connections` are the open WebSockets."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.connections: list[Connection] = []
        self.own = AccountDoors(house)
        self.mailbox = MailboxDoors(house, lambda account: replace(self.connections, account))
        self.blobs = BlobDoors(house)
        self.groups = GroupDoors(house)

    def application(self) -> web.Application:
        """What is served."""
        app = web.Application(client_max_size=2**24)
        add = app.router.add_route
        add("GET", "/v1/connect", self.connect)
        for method, path, door, signed in self._table():
            add(method, path, self._through(f"{method} {path}", door, signed))
        for method, path in _UNPLAYED:
            add(method, path, self._through(f"{method} {path}", self.absent, None))
        add("*", "/{rest:.*}", self._through("", self.unknown, None))
        return app

    def _table(self) -> tuple[tuple[str, str, Door, bool | None], ...]:
        """`signed`: None where a request may be either."""
        own = self.own
        return (
            ("GET", "/.well-known/tokenim", self.document, False),
            ("POST", "/v1/accounts", self.register, False),
            ("GET", "/v1/accounts/self", self.own_account, True),
            ("GET", "/v1/accounts/self/devices", self.own_devices, True),
            ("POST", "/v1/accounts/self/manifests", own.own_manifest, True),
            ("GET", "/v1/accounts/{account}/manifests", self.manifests, None),
            ("POST", "/v1/accounts/{account}/manifests", own.manifest_of, False),
            ("POST", "/v1/accounts/{account}/bundles", self.bundles, True),
            ("PUT", "/v1/handle", own.take_handle, True),
            ("DELETE", "/v1/handle", own.give_handle_back, True),
            ("GET", "/v1/handles/{handle}", self.handle, True),
            ("POST", "/v1/delivery-tokens", own.add_token, True),
            ("GET", "/v1/delivery-tokens", own.tokens, True),
            ("DELETE", "/v1/delivery-tokens/{token_hash}", own.remove_token, True),
            ("POST", "/v1/prekeys", self.add_prekeys, True),
            ("GET", "/v1/prekeys", self.prekeys, True),
            ("POST", "/v1/envelopes", self.mailbox.submit, None),
            ("GET", "/v1/mailbox", self.mailbox.poll, True),
            ("POST", "/v1/mailbox/ack", self.mailbox.ack, True),
            ("GET", "/v1/mailbox/quarantine", self.mailbox.quarantine, True),
            ("GET", "/v1/transparency/head", self.head, False),
            ("GET", "/v1/transparency/consistency", self.consistency, False),
            ("GET", "/v1/logs/{name}", own.read_log, True),
            ("POST", "/v1/logs/{name}", own.append, True),
            ("DELETE", "/v1/logs/{name}", own.trim, True),
            ("POST", "/v1/group-logs", self.groups.create, True),
            ("POST", "/v1/group-logs/{log}/entries", self.groups.append, False),
            ("GET", "/v1/group-logs/{log}", self.groups.read, False),
            ("PUT", "/v1/profile", own.put_profile, True),
            ("GET", "/v1/accounts/{account}/profile", self.profile, None),
            ("PUT", "/v1/push", own.put_push, True),
            ("DELETE", "/v1/push", own.end_push, True),
            ("POST", "/v1/blobs", self.blobs.create, True),
            ("HEAD", "/v1/blobs/{blob}", self.blobs.stand, True),
            ("PATCH", "/v1/blobs/{blob}", self.blobs.go_on, True),
            ("DELETE", "/v1/blobs/{blob}", self.blobs.remove, True),
            ("GET", "/v1/blobs/{blob}", self.blobs.give, False),
        )

    def _through(
        self, name: str, door: Door, signed: bool | None
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            told = f"{request.method} {request.path}"
            try:
                body = await request.read()
                if name:
                    _check(name, request, body)
                asker = self._asker(request, body, signed)
                self.house.requests.append(
                    (request.method, request.path_qs, asker.manifest.account_id if asker else None)
                )
                answered = door(request, body, asker)
                response = await answered if isinstance(answered, Awaitable) else answered
            except Refusal as refusal:
                response = self._problem(refusal)
            except web.HTTPRequestEntityTooLarge:
                self.house.breach(f"{told}: a body above 16 MiB")
                response = self._problem(Refusal("too_large", 413))
            except (ConnectionError, web.RequestPayloadError):
                raise  # who asked is gone, and hears nothing
            except (Failed, ValueError) as error:
                self.house.breach(f"{told}: {error}")
                response = self._problem(Refusal("malformed_request", 400))
            except Exception as error:  # noqa: BLE001  # whatever it is: aiohttp would answer 500 and tell nobody
                self.house.defect(told, error)
                response = self._problem(Refusal("internal", 500))
            finally:
                self.house.tell()
            if told in self.house.script.lose:
                self.house.script.lose.remove(told)
                if request.transport is not None:
                    request.transport.abort()
            response.headers["Date"] = formatdate(self.house.now_ms / 1000, usegmt=True)
            return response

        return answer

    def _problem(self, refusal: Refusal) -> web.Response:
        self.house.refused.append(refusal.code)
        told = {
            "type": "about:blank",
            "title": refusal.code,
            "status": refusal.status,
            "code": refusal.code,
            "detail": "",
            "request_id": "kit",
        }
        return web.Response(
            status=refusal.status, text=json.dumps(told), content_type="application/problem+json"
        )

    def _asker(self, request: web.Request, body: bytes, signed: bool | None) -> Account | None:
        header = request.headers.get("Authorization")
        if header is None:
            if signed:
                raise Failed("this request has to be signed")
            return None
        if signed is False:
            raise Failed("this request says who asks: the document has it unsigned")
        self.house.named.add(request.transport)
        if request.transport in self.house.nameless:
            raise Failed("a signed request on a connection on which a group log was asked for")
        seen = checks.proof(header)
        if seen.device_id in self.house.removed:
            raise Refusal("unauthenticated", 401)
        account = self.house.of_device(seen.device_id)
        if account is None:
            raise Failed("a request of a device that nobody registered")
        offset = request.headers.get("Upload-Offset") if request.method == "PATCH" else None
        checks.request(
            seen,
            account.device.signing_key,
            request.method,
            request.raw_path,
            body,
            self.house.origin,
            None if offset is None else int(offset),
        )
        if seen.nonce in self.house.nonces:
            raise Failed("a nonce was used a second time")
        self.house.nonces.add(seen.nonce)
        if abs(seen.time_ms - self.house.now_ms) > checks.SKEW_MS:
            raise Refusal("unauthenticated", 401)
        return account

    # What is asked.

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket."""
        return await connect(self.house, self.connections, request)

    def document(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The relay's document, signed."""
        told = self.house.document()
        headers = {"TokenIM-Signature": self.house.sign_document(told)}
        return web.Response(body=told, content_type="application/json", headers=headers)

    def register(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A new account."""
        read = json.loads(body)
        self.house.registrations.append(read)
        return self.house.json(self.house.register(read).as_json(), 201)

    def own_account(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Who asks."""
        return self.house.json(known(asker).as_json())

    def own_devices(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """As the newest manifest lists them."""
        told = [
            {
                "device_id": to_base64(one.device_id),
                "added_at_ms": 0,
                "seen_day": checks.now_ms() // 86_400_000,
            }
            for one in known(asker).manifest.devices
        ]
        return self.house.json({"devices": told})

    def manifests(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The chain, from a version on."""
        account = self._reached(request, asker)
        start = int(request.query.get("from", "1"))
        told = {
            "manifests": [account.told, *account.later][start - 1 :],
            "latest": account.manifest.version,
            "inclusion": self.house.inclusion(self.house.manifest_leaf(account)),
        }
        if asker is account:
            return self.house.json(told)
        self.house.told("manifests")
        return self.house.json(self.house.script.manifests(told))

    def _reached(self, request: web.Request, asker: Account | None) -> Account:
        name = request.match_info["account"]
        account = next((one for key, one in self.house.accounts.items() if to_base32(key) == name), None)
        if asker is not None and asker is account:
            return account
        if asker is not None:
            raise Failed("manifests and profiles of others are fetched without saying who asks")
        token = from_base64(request.headers.get("TokenIM-Delivery-Token", ""))
        if account is None or self.house.token_class(account, token) is None:
            raise Refusal("not_allowed", 403)
        return account

    def bundles(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """One set of prekeys of the device."""
        read, name = json.loads(body), request.match_info["account"]
        self.house.bundles_asked.append(read)
        account = next((one for key, one in self.house.accounts.items() if to_base32(key) == name), None)
        if account is None or self.house.token_class(account, from_base64(read.get("token") or "")) is None:
            raise Refusal("not_allowed", 403)
        self.house.told("bundle")
        bundle = self.house.script.bundle(hand_out(account))
        return self.house.json({"manifest_version": account.manifest.version, "bundles": [bundle]})

    def handle(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Whom it names."""
        account = self.house.handles.get(request.match_info["handle"])
        if account is None or account.public_token is None:
            raise Refusal("not_allowed", 403)
        told = {
            "account_id": to_base64(account.manifest.account_id),
            "public_token": to_base64(account.public_token),
            "version": account.handle_version,
            "salt": to_base64(account.salt),
            "inclusion": self.house.inclusion(self.house.handle_leaf(account)),
        }
        self.house.told("handle")
        return self.house.json(self.house.script.handle(told))

    def add_prekeys(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Each checked: signature, size, an id above the highest."""
        account = known(asker)
        for encoded in json.loads(body)["keys"]:
            seen = checks.prekey(from_base64(encoded), account.manifest.account_id, account.device)
            if seen.key_id <= account.highest.get(seen.kind, 0):
                raise Failed(f"a prekey of kind {seen.kind} has an id that is not above the highest one")
            account.highest[seen.kind] = seen.key_id
            if seen.key_class != 2:
                same = (seen.kind, seen.key_class)
                account.prekeys = [one for one in account.prekeys if (one.kind, one.key_class) != same]
            account.prekeys.append(seen)
        return self.house.json(_stock(account))

    def prekeys(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """What is in stock."""
        return self.house.json(_stock(known(asker)))

    def head(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The newest one."""
        return self.house.json({"head": to_base64(self.house.log.head(checks.now_ms()))})

    def consistency(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Between two sizes."""
        hashes = self.house.consistency(int(request.query["from"]), int(request.query["to"]))
        return self.house.json({"hashes": [to_base64(one) for one in hashes]})

    def profile(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The newest one of the account."""
        account = self._reached(request, asker)
        if account.profile is None:
            raise Refusal("not_found", 404)
        return self.house.json(account.profile)

    def absent(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Of the document, and nothing that this relay has."""
        raise Refusal("not_found", 404)

    def unknown(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Nothing of the document."""
        raise Failed("the document has no such path or method")


def _check(name: str, request: web.Request, body: bytes) -> None:
    if "Content-Encoding" in request.headers:
        raise Failed("compressed bodies are not taken")
    check_query(name, request.query)
    check_body(name, request.content_type, body)


def _stock(account: Account) -> dict[str, Any]:
    held = sorted(account.prekeys, key=lambda one: (one.kind, one.key_class, one.key_id))
    stock = [
        {
            "kind": kind,
            "one_time_left": sum(one.kind == kind and one.key_class == 2 for one in held),
            "highest_id": account.highest.get(kind, 0),
        }
        for kind in checks.PREKEYS
    ]
    return {"stock": stock, "digest": to_base64(sha256(b"".join(one.encoded for one in held)))}


def hand_out(account: Account) -> dict[str, Any]:
    """A bundle of the account: one-time keys are gone by it."""
    told: dict[str, Any] = {"device_id": to_base64(account.device.device_id), "one_time_prekey": None}
    for kind, key_class, name in (
        (1, 1, "signed_prekey"),
        (4, 1, "sealing_key"),
        (2, 3, "kem_prekey"),
        (2, 2, "kem_prekey"),
        (3, 2, "one_time_prekey"),
    ):
        found = [one for one in account.prekeys if (one.kind, one.key_class) == (kind, key_class)]
        if found:
            told[name] = to_base64(found[0].encoded)
            if key_class == 2:
                account.prekeys.remove(found[0])
    return told
