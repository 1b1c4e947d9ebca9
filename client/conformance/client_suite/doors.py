"""The HTTP side of the scripted relay: as much as a client needs to register, be found and fetch keys."""

import json
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import web

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base32, to_base64

from . import checks
from .blob_doors import BlobDoors
from .group_doors import GroupDoors
from .house import Account, House
from .refusal import Refusal
from .socket_door import Connection, connect

Door = Callable[[web.Request, bytes, Account | None], web.Response]


class Doors:
    """`connections` are the open WebSockets."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.connections: list[Connection] = []
        self.blobs = BlobDoors(house)
        self.groups = GroupDoors(house)

    def application(self) -> web.Application:
        """What is served."""
        app = web.Application(client_max_size=2**24)
        add = app.router.add_route
        add("GET", "/v1/connect", lambda request: connect(self.house, self.connections, request))
        for method, path, door, signed in (
            ("GET", "/.well-known/tokenim", self.document, False),
            ("POST", "/v1/accounts", self.register, False),
            ("GET", "/v1/accounts/self", self.own_account, True),
            ("GET", "/v1/accounts/self/devices", self.own_devices, True),
            ("GET", "/v1/accounts/{account}/manifests", self.manifests, None),
            ("POST", "/v1/accounts/{account}/bundles", self.bundles, True),
            ("GET", "/v1/handles/{handle}", self.handle, True),
            ("POST", "/v1/delivery-tokens", self.add_token, True),
            ("GET", "/v1/delivery-tokens", self.tokens, True),
            ("POST", "/v1/prekeys", self.add_prekeys, True),
            ("GET", "/v1/prekeys", self.prekeys, True),
            ("GET", "/v1/mailbox/quarantine", self.quarantine, True),
            ("GET", "/v1/transparency/head", self.head, False),
            ("GET", "/v1/transparency/consistency", self.consistency, False),
            ("GET", "/v1/logs/{name}", self.log, True),
            ("POST", "/v1/logs/{name}", self.append, True),
            ("POST", "/v1/group-logs", self.groups.create, True),
            ("POST", "/v1/group-logs/{log}/entries", self.groups.append, False),
            ("GET", "/v1/group-logs/{log}", self.groups.read, False),
            ("PUT", "/v1/profile", self.nothing, True),
            ("POST", "/v1/blobs", self.blobs.create, True),
            ("HEAD", "/v1/blobs/{blob}", self.blobs.stand, True),
            ("PATCH", "/v1/blobs/{blob}", self.blobs.go_on, True),
            ("GET", "/v1/blobs/{blob}", self.blobs.give, False),
        ):
            add(method, path, self._through(door, signed))
        add("*", "/{rest:.*}", self._through(self.unknown, None))
        return app

    def _through(self, door: Door, signed: bool | None) -> Callable[[web.Request], Awaitable[web.Response]]:
        """`signed`: None where a request may be either."""

        async def answer(request: web.Request) -> web.Response:
            body = await request.read()
            told = f"{request.method} {request.path}"
            try:
                asker = self._asker(request, body, signed)
                self.house.requests.append(
                    (request.method, request.path_qs, asker.manifest.account_id if asker else None)
                )
                response = door(request, body, asker)
            except Refusal as refusal:
                response = self._problem(refusal)
            except (Failed, ValueError, KeyError, TypeError) as error:
                self.house.breach(f"{told}: {error}")
                response = self._problem(Refusal("malformed_request", 400))
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

    def _json(self, told: dict[str, Any], status: int = 200) -> web.Response:
        return web.json_response(self.house.script.any_json(told), status=status)

    # What is asked.

    def document(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The relay's document, signed."""
        told = self.house.document()
        headers = {"TokenIM-Signature": self.house.sign_document(told)}
        return web.Response(body=told, content_type="application/json", headers=headers)

    def register(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A new account."""
        read = json.loads(body)
        self.house.registrations.append(read)
        return self._json(_account(self.house.register(read)), 201)

    def own_account(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Who asks."""
        return self._json(_account(_known(asker)))

    def own_devices(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """One device."""
        told = {
            "device_id": to_base64(_known(asker).device.device_id),
            "added_at_ms": 0,
            "seen_day": checks.now_ms() // 86_400_000,
        }
        return self._json({"devices": [told]})

    def manifests(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The chain, which has one link here."""
        account = self._reached(request, asker)
        start = int(request.query.get("from", "1"))
        told = {
            "manifests": [account.told] if start <= 1 else [],
            "latest": 1,
            "inclusion": self.house.inclusion(self.house.manifest_leaf(account)),
        }
        if asker is account:
            return self._json(told)
        self.house.told("manifests")
        return self._json(self.house.script.manifests(told))

    def _reached(self, request: web.Request, asker: Account | None) -> Account:
        name = request.match_info["account"]
        account = next((one for key, one in self.house.accounts.items() if to_base32(key) == name), None)
        if asker is not None and asker is account:
            return account
        if asker is not None:
            raise Failed("manifests of others are fetched without saying who asks")
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
        return self._json({"manifest_version": 1, "bundles": [bundle]})

    def handle(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Whom it names."""
        account = self.house.handles.get(request.match_info["handle"])
        if account is None or account.public_token is None:
            raise Refusal("not_allowed", 403)
        told = {
            "account_id": to_base64(account.manifest.account_id),
            "public_token": to_base64(account.public_token),
            "version": 1,
            "salt": to_base64(account.salt),
            "inclusion": self.house.inclusion(self.house.handle_leaf(account)),
        }
        self.house.told("handle")
        return self._json(self.house.script.handle(told))

    def add_token(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """As its hash."""
        read = json.loads(body)
        token_hash = from_base64(read["token_hash"])
        if len(token_hash) != 32 or read["token_class"] not in ("contact", "group", "link", "public"):
            raise Failed("a delivery token goes up as SHA-256 and a class")
        _known(asker).tokens[token_hash] = read["token_class"]
        return web.Response(status=204)

    def tokens(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Those of the asker."""
        return self._json(
            {
                "tokens": [
                    {"token_hash": to_base64(one), "token_class": kind, "expires_at_ms": None}
                    for one, kind in _known(asker).tokens.items()
                ]
            }
        )

    def add_prekeys(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Each checked: signature, size, an id above the highest."""
        account = _known(asker)
        for encoded in json.loads(body)["keys"]:
            seen = checks.prekey(from_base64(encoded), account.manifest.account_id, account.device)
            if seen.key_id <= account.highest.get(seen.kind, 0):
                raise Failed(f"a prekey of kind {seen.kind} has an id that is not above the highest one")
            account.highest[seen.kind] = seen.key_id
            if seen.key_class != 2:
                same = (seen.kind, seen.key_class)
                account.prekeys = [one for one in account.prekeys if (one.kind, one.key_class) != same]
            account.prekeys.append(seen)
        return self._json(_stock(account))

    def prekeys(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """What is in stock."""
        return self._json(_stock(_known(asker)))

    def head(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The newest one."""
        return self._json({"head": to_base64(self.house.log.head(checks.now_ms()))})

    def consistency(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Between two sizes."""
        hashes = self.house.consistency(int(request.query["from"]), int(request.query["to"]))
        return self._json({"hashes": [to_base64(one) for one in hashes]})

    def log(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A sealed log of the account."""
        entries = _known(asker).logs.get(request.match_info["name"], [])
        start = int(request.query.get("from", "0"))
        return self._json({"entries": entries[start:], "first_index": 0, "next_index": len(entries)})

    def append(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """At its end."""
        read, entries = json.loads(body), _known(asker).logs.setdefault(request.match_info["name"], [])
        index, entry = read["index"], read["entry"]
        if index == len(entries):
            entries.append({"index": index, "entry": entry, "at_ms": checks.now_ms()})
        elif index > len(entries) or entries[index]["entry"] != entry:
            raise Refusal("conflict", 409)
        return self._json({"index": index, "at_ms": entries[index]["at_ms"]})

    def quarantine(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """This relay skips no envelope."""
        return self._json({"envelopes": []})

    def nothing(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Taken, and forgotten."""
        return web.Response(status=204)

    def unknown(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Of the rest this relay has nothing."""
        raise Refusal("not_found", 404)


def _known(asker: Account | None) -> Account:
    if asker is None:
        raise Refusal("unauthenticated", 401)
    return asker


def _account(account: Account) -> dict[str, Any]:
    return {
        "account_id": to_base64(account.manifest.account_id),
        "role": "member",
        "handle": account.handle,
        "manifest_version": 1,
    }


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
