"""The scripted relay's group logs: made by a device, appended by their write key and read by their token."""

import json
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base32, transcript, u64

from .checks import now_ms
from .house import Account, House
from .refusal import Refusal
from .submits import is_bucket

_TOKEN: Final = "TokenIM-Log-Token"  # noqa: S105  # a header's name


@dataclass(frozen=True)
class Entry:
    """One entry: what was asked, and which key signs and which token reads from it on."""

    asked: dict[str, Any]
    write_key: bytes
    token_hash: bytes
    at_ms: int


class GroupDoors:
    """`/v1/group-logs`, of one relay. `logs`: the entries of each log by its 32 B id."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.logs: dict[bytes, list[Entry]] = {}

    def create(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """A new log with its entry 0, signed by a device."""
        asked = json.loads(body)
        fields = [from_base64(asked[name]) for name in ("log_id", "write_key", "read_token_hash")]
        if any(len(field) != 32 for field in fields):
            raise Failed("id, write key and hash of the read token of a group log have 32 B")
        log_id, write_key, token_hash = fields
        log = self.logs.setdefault(log_id, [])
        if not log:
            log.append(self._entry(asked, write_key, token_hash))
        if log[0].asked != asked:
            raise Refusal("conflict", 409)
        return web.json_response({"index": 0, "at_ms": log[0].at_ms}, status=201)

    def append(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The next entry, by the key that was in place before it."""
        self._on_a_connection_without_name(request)
        asked = json.loads(body)
        log_id, log = self._log(request)
        index, entry = asked["index"], from_base64(asked["entry"])
        if not log or index == 0:
            raise Refusal("not_allowed", 403)
        following, token_hash = (
            from_base64(asked[name]) if asked.get(name) else None
            for name in ("next_write_key", "next_read_token_hash")
        )
        before = log[min(index, len(log)) - 1]
        signed = transcript("tokenim/v1 log append", log_id, u64(index), sha256(entry), following, token_hash)
        try:
            VerifyKey(before.write_key).verify(signed, from_base64(asked["signature"]))
        except (BadSignatureError, ValueError):
            raise Refusal("not_allowed", 403) from None
        if index > len(log) or (index < len(log) and log[index].asked != asked):
            raise Refusal("conflict", 409)
        if index == len(log):
            log.append(self._entry(asked, following or before.write_key, token_hash or before.token_hash))
        return web.json_response({"index": index, "at_ms": log[index].at_ms})

    def read(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """Entries from an index on, by the present read token."""
        self._on_a_connection_without_name(request)
        _, log = self._log(request)
        token = from_base64(request.headers.get(_TOKEN, ""))
        if not log or sha256(token) != log[-1].token_hash:
            raise Refusal("not_allowed", 403)
        start = int(request.query.get("from", "0"))
        entries = [
            {"index": index, "entry": one.asked["entry"], "at_ms": one.at_ms}
            for index, one in enumerate(log)
            if index >= start
        ]
        return web.json_response({"entries": entries, "first_index": 0, "next_index": len(log)})

    def _log(self, request: web.Request) -> tuple[bytes, list[Entry]]:
        name = request.match_info["log"]
        for log_id, log in self.logs.items():
            if to_base32(log_id) == name:
                return log_id, log
        return b"", []

    def _entry(self, asked: dict[str, Any], write_key: bytes, token_hash: bytes) -> Entry:
        size = len(from_base64(asked["entry"]))
        if not is_bucket(size):
            raise Failed(f"an entry of {size} B in a group log: no bucket has this size")
        return Entry(asked, write_key, token_hash, now_ms())

    def _on_a_connection_without_name(self, request: web.Request) -> None:
        self._house.nameless.add(request.transport)
        if request.transport in self._house.named:
            raise Failed("a group log is asked for on a connection on which the client signs")
