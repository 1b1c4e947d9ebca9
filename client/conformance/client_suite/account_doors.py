"""What an account asks of the scripted relay for itself: handle, tokens, later manifests, profile, logs, where it is woken."""

import json
import os
import re
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from client.conformance.report import Failed
from client.conformance.wire import from_base64, to_base32, to_base64

from . import checks
from .house import Account, House, Push
from .refusal import Refusal

_HANDLE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
_LOG_NAME: Final = re.compile(r"[a-z]{1,16}")


@dataclass(frozen=True)
class AccountDoors:
    """Of one relay."""

    house: House

    def take_handle(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Another one, or the same with another public token."""
        read, account = json.loads(body), known(asker)
        if not _HANDLE.fullmatch(read["handle"]):
            raise Refusal("handle_invalid", 422)
        if self.house.handles.get(read["handle"], account) is not account:
            raise Refusal("handle_taken", 409)
        token = read.get("public_token")
        self.house.name(account, read["handle"], from_base64(token) if token else None)
        return web.Response(status=204)

    def give_handle_back(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """It finds nobody any more."""
        self.house.name(known(asker), None, None)
        return web.Response(status=204)

    def add_token(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """As its hash; again with the same hash for another end."""
        read, account = json.loads(body), known(asker)
        token_hash = from_base64(read["token_hash"])
        account.tokens[token_hash] = read["token_class"]
        account.token_ends[token_hash] = read.get("expires_at_ms")
        return web.Response(status=204)

    def tokens(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Those of the asker."""
        account = known(asker)
        told = [
            {
                "token_hash": to_base64(one),
                "token_class": kind,
                "expires_at_ms": account.token_ends.get(one),
            }
            for one, kind in account.tokens.items()
        ]
        return self.house.json({"tokens": told})

    def remove_token(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """It is good for nothing from here on."""
        token_hash = from_base64(request.match_info["token_hash"])
        if known(asker).tokens.pop(token_hash, None) is None:
            raise Refusal("not_found", 404)
        return web.Response(status=204)

    def own_manifest(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The next one, put in place by a device."""
        return self._next_manifest(known(asker), body)

    def manifest_of(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The next one, by its signature alone."""
        name = request.match_info["account"]
        account = next((one for key, one in self.house.accounts.items() if to_base32(key) == name), None)
        if account is None:
            raise Refusal("not_allowed", 403)
        return self._next_manifest(account, body)

    def _next_manifest(self, account: Account, body: bytes) -> web.Response:
        told = json.loads(body)["manifest"]
        if told not in (account.told, *account.later):
            following = checks.next_manifest(told, account.manifest)
            account.later.append(told)
            account.manifest = following
            self.house.log.leaves.append(self.house.manifest_leaf(account))
        return self.house.json(account.as_json())

    def put_profile(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A version above the one that is there."""
        read, account = json.loads(body), known(asker)
        before = account.profile
        if before is not None and read["version"] <= before["version"] and read != before:
            raise Refusal("conflict", 409)
        account.profile = read
        return web.Response(status=204)

    def put_push(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Where its device is woken from now on, with a token of its own."""
        read = json.loads(body)
        if read["kind"] not in self.house.push_kinds:
            raise Refusal("malformed_request", 400)
        known(asker).push = push = Push(read, os.urandom(16))
        self.house.pushes.append(push)
        return self.house.json({"token": to_base64(push.token)})

    def end_push(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """It is woken no more."""
        known(asker).push = None
        return web.Response(status=204)

    def read_log(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A sealed log of the account, from an index on."""
        log = known(asker).log(_log_name(request))
        start = max(int(request.query.get("from", "0")), log.first)
        told: dict[str, Any] = {
            "entries": log.entries[start - log.first :][:256],
            "first_index": log.first,
            "next_index": log.end,
        }
        return self.house.json(told)

    def append(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """At its end."""
        read, log = json.loads(body), known(asker).log(_log_name(request))
        index, entry = read["index"], read["entry"]
        if index == log.end:
            log.entries.append({"index": index, "entry": entry, "at_ms": checks.now_ms()})
        elif not log.first <= index < log.end or log.entries[index - log.first]["entry"] != entry:
            raise Refusal("conflict", 409)
        return self.house.json({"index": index, "at_ms": log.entries[index - log.first]["at_ms"]})

    def trim(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """What is below `before` is gone."""
        log, before = known(asker).log(_log_name(request)), int(request.query.get("before", "0"))
        if before > log.end:
            raise Refusal("conflict", 409)
        del log.entries[: max(0, before - log.first)]
        log.first = max(log.first, before)
        return web.Response(status=204)


def known(asker: Account | None) -> Account:
    """Who signed; raises Refusal for nobody."""
    if asker is None:
        raise Refusal("unauthenticated", 401)
    return asker


def _log_name(request: web.Request) -> str:
    name = request.match_info["name"]
    if not _LOG_NAME.fullmatch(name):
        raise Failed(f"the name of an account's log is 1 to 16 of a-z, not {name!r}")
    return name
