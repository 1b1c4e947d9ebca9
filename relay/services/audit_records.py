"""Rows and heads of the audit log as JSON: what people and scripts are told, and what is exported to be verified elsewhere."""

import json
from dataclasses import dataclass
from typing import Any, Final

from relay.services.audit import SignedHead
from relay.wire.audit_rows import AuditRow, Details, KeptParty, PartyKind, Tip, day_of
from relay.wire.errors import MalformedRequest
from relay.wire.links import decode_bytes, encode_bytes, encode_id

FORMAT: Final = "tokenim-audit/1"
ERASED: Final = "erased"
DONE: Final = "done"


def told_party(party: KeptParty) -> str:
    """Who or what, in one word, like `operator:1000`, `account:…`, `account:erased`; empty: nobody."""
    name = _name_of(party)
    if party.kind == PartyKind.NOBODY:
        return ""
    kind = PartyKind(party.kind).name.lower() if party.kind in [*PartyKind] else str(party.kind)
    return f"{kind}:{name}" if name else kind


def _name_of(party: KeptParty) -> str:
    if party.id is None:
        return ERASED
    match party.kind:
        case PartyKind.OPERATOR:
            return str(int.from_bytes(party.id, "big"))
        case PartyKind.ACCOUNT:
            return encode_id(party.id)
        case PartyKind.INVITE:
            return party.id.decode("ascii", "replace")
    return party.id.hex()


def told_row(row: AuditRow) -> dict[str, Any]:
    """What `audit show` prints of a row that has its details."""
    said = row.details
    if said is None:
        return {"row": row.index, "time_ms": None, "is_day": False, "action": None}
    return {
        "row": row.index,
        "time_ms": row.at_ms,
        "is_day": row.at_ms == day_of(row.at_ms),
        "action": str(said.action),
        "actor": told_party(said.actor),
        "subject": told_party(said.subject),
        "outcome": said.outcome or DONE,
        "detail": said.detail,
    }


def told_head(signed: SignedHead) -> dict[str, Any]:
    """A head as `audit head` prints it, and as a file of heads holds it, one a line."""
    head = signed.head
    return {
        "size": head.size,
        "root": encode_bytes(head.root),
        "time_ms": head.time_ms,
        "head": encode_bytes(signed.signed),
    }


def read_heads(text: str) -> list[bytes]:
    """The signed heads of such a file; raises MalformedRequest that names the line."""
    return [read_head(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def read_head(line: str, number: int) -> bytes:
    """The signed head in a line."""
    try:
        return decode_bytes(json.loads(line)["head"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedRequest(
            f"line {number} is no head: each line is what `audit head --json` prints"
        ) from error


def exported_header(tip: Tip, relay_public: bytes) -> dict[str, Any]:
    """The first line of an export: the key that signs, how many rows there are, the root over them.

    The signature of the newest row is over that head, with the time of the row; `peaks` are the complete subtrees.
    """
    return {
        "format": FORMAT,
        "relay_key": encode_bytes(relay_public),
        "size": tip.size,
        "root": encode_bytes(tip.root),
        "peaks": [encode_bytes(peak) for peak in tip.peaks],
        "signature": encode_bytes(tip.signature),
    }


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """Whose log it is, by 32 B key, and where it stood."""

    relay_public: bytes
    tip: Tip


def exported_row(row: AuditRow) -> dict[str, Any]:
    """A row with all that its hash and the tree are made of."""
    proof = {
        "leaf_hash": encode_bytes(row.leaf_hash),
        "signature": None if row.signature is None else encode_bytes(row.signature),
    }
    said = row.details
    if said is None:
        return {"row": row.index, "time_ms": row.at_ms, "action": None, **proof}
    return {
        "row": row.index,
        "time_ms": row.at_ms,
        "action": str(said.action),
        "actor": _exported_party(said.actor),
        "subject": _exported_party(said.subject),
        "outcome": said.outcome,
        "detail": said.detail,
        **proof,
    }


def _exported_party(party: KeptParty) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": party.kind}
    for name, value in (("id", party.id), ("salt", party.salt), ("hash", party.hash)):
        if value is not None:
            told[name] = encode_bytes(value)
    return told


def read_header(line: str) -> ExportHeader:
    """The first line of an export; raises MalformedRequest."""
    try:
        told = json.loads(line)
        if told["format"] != FORMAT:
            raise ValueError("another format")
        peaks = tuple(decode_bytes(peak) for peak in told["peaks"])
        tip = Tip(int(told["size"]), peaks, decode_bytes(told["signature"]))
        return ExportHeader(decode_bytes(told["relay_key"]), tip)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedRequest(
            "line 1: this is no export of an audit log that this version can read"
        ) from error


def read_row(line: str, number: int) -> AuditRow:
    """A row of an export; raises MalformedRequest that names the line."""
    try:
        told = json.loads(line)
        details = None
        if told["action"] is not None:
            details = Details(
                told["action"],
                _read_party(told["actor"]),
                _read_party(told["subject"]),
                told["outcome"],
                told["detail"],
            )
        signature = None if told["signature"] is None else decode_bytes(told["signature"])
        return AuditRow(
            int(told["row"]), int(told["time_ms"]), details, decode_bytes(told["leaf_hash"]), signature
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedRequest(f"line {number} is no row of an export") from error


def _read_party(told: dict[str, Any]) -> KeptParty:
    parts = (decode_bytes(told[name]) if name in told else None for name in ("id", "salt", "hash"))
    return KeptParty(int(told["kind"]), *parts)
