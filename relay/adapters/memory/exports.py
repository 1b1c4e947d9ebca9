"""All that is kept about one account, in memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from relay.ports.exports import Cursor, Row, Section
from relay.wire.audit_rows import PartyKind
from relay.wire.log_leaves import LeafKind, handle_salt, handle_subject

from .image import Gate, Image


class MemoryExports:
    """ExportStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def page(
        self, section: Section, account_id: bytes, *, after: Cursor | None, limit: int
    ) -> tuple[tuple[Row, ...], Cursor | None]:
        """One page."""
        self._gate.check()
        begins = int(after[0]) if after else 0
        rows = tuple(_ROWS[section](self._image, account_id))[begins : begins + limit]
        return rows, (begins + limit,) if len(rows) == limit else None


def _devices_of(image: Image, account_id: bytes) -> list[bytes]:
    return sorted(one.device_id for one in image.devices.values() if one.account_id == account_id)


def _handle_of(image: Image, account_id: bytes) -> str | None:
    return next((one.handle for one in image.handles.values() if one.account_id == account_id), None)


def _subject(image: Image, handle: str) -> bytes:
    return handle_subject(handle_salt(image.handle_key, handle), handle)


def _account(image: Image, account_id: bytes) -> Iterator[Row]:
    row = image.accounts.get(account_id)
    if row is None:
        return
    devices = _devices_of(image, account_id)
    waiting = [one.envelope for device in devices for one in image.mailboxes[device].waiting.values()]
    blobs = [one.length for one in image.blobs.values() if one.owner_id == account_id]
    logs = [log for (owner, _), log in image.account_logs.items() if owner == account_id]
    yield {
        "account_id": account_id,
        "role": row.role,
        "suspended": row.suspended,
        "being_deleted": account_id in image.deletions,
        "created_at_ms": row.created_at_ms,
        "manifest_version": len(row.manifests),
        "manifest_hash": row.manifest_hash,
        "envelopes": len(waiting),
        "envelope_bytes": sum(len(one.ciphertext) for one in waiting),
        "blobs": len(blobs),
        "blob_bytes": sum(blobs),
        "log_bytes": sum(len(entry.entry) for log in logs for entry in log.entries.values()),
    }


def _handles(image: Image, account_id: bytes) -> Iterator[Row]:
    for one in image.handles.values():
        if one.account_id == account_id:
            yield {"handle": one.handle, "findable": one.public_token is not None}


def _kept_handles(image: Image, account_id: bytes) -> Iterator[Row]:
    kept = {
        _subject(image, handle): until
        for handle, (owner, until) in image.kept_handles.items()
        if owner == account_id
    }
    for subject, until_ms in sorted(kept.items()):
        yield {"subject": subject, "until_ms": until_ms}


def _devices(image: Image, account_id: bytes) -> Iterator[Row]:
    for device_id in _devices_of(image, account_id):
        device = image.devices[device_id]
        yield {
            "device_id": device_id,
            "signing_key": device.signing_key,
            "identity_key": device.identity_key,
            "flags": device.flags,
            "added_at_ms": device.added_at_ms,
            "seen_day": image.seen_days.get(device_id, 0),
            "nonces": sum(signer == device_id for signer, _ in image.nonces),
        }


def _manifests(image: Image, account_id: bytes) -> Iterator[Row]:
    row = image.accounts.get(account_id)
    for version, signed in enumerate(row.manifests if row else (), 1):
        yield {
            "version": version,
            "body": signed.body,
            "signer": signed.signer,
            "signature": signed.signature,
        }


def _tokens(image: Image, account_id: bytes) -> Iterator[Row]:
    for token_hash, token in sorted(image.tokens.get(account_id, {}).items()):
        yield {
            "token_hash": token_hash,
            "token_class": int(token.token_class),
            "expires_at_ms": token.expires_at_ms,
        }


def _prekeys(image: Image, account_id: bytes) -> Iterator[Row]:
    for device_id in _devices_of(image, account_id):
        shelf = image.shelves.get(device_id)
        if shelf is None:
            continue
        counted = Counter((key.kind, key.key_class) for key in shelf.keys)
        for (kind, key_class), count in sorted(counted.items()):
            yield {
                "device_id": device_id,
                "kind": int(kind),
                "key_class": int(key_class),
                "keys": count,
                "highest_id": shelf.highest[kind],
            }


def _mailboxes(image: Image, account_id: bytes) -> Iterator[Row]:
    for device_id in _devices_of(image, account_id):
        mailbox = image.mailboxes[device_id]
        waiting = mailbox.waiting.values()
        yield {
            "device_id": device_id,
            "given_up_to": mailbox.given_up_to,
            "envelopes": len(waiting),
            "envelope_bytes": sum(len(one.envelope.ciphertext) for one in waiting),
            "quarantined": sum(one.quarantined for one in waiting),
            "oldest_received_at_ms": min((one.envelope.received_at_ms for one in waiting), default=None),
            "missed_ranges": len(mailbox.missed),
        }


def _reserved_handles(image: Image, account_id: bytes) -> Iterator[Row]:
    for handle, reserved in sorted(image.reserved_handles.items()):
        if reserved.account_id == account_id:
            yield {"handle": handle}


def _invites(image: Image, account_id: bytes) -> Iterator[Row]:
    made = (one for one in image.invites.values() if one.made_by == account_id)
    for invite in sorted(made, key=lambda one: one.created_at_ms):
        yield {
            "created_at_ms": invite.created_at_ms,
            "role": invite.role,
            "uses_left": invite.uses_left,
            "expires_at_ms": invite.expires_at_ms,
            "stay_seconds": invite.stay_seconds,
            "hosts": len(invite.hosts),
        }


def _guests(image: Image, account_id: bytes) -> Iterator[Row]:
    if account_id in image.accounts:
        own = image.guests.get(account_id)
        yield {
            "guest_until_ms": None if own is None else own.expires_at_ms,
            "hosts": 0 if own is None else len(own.hosts),
            "guests": sum(account_id in guest.hosts for guest in image.guests.values()),
        }


def _profiles(image: Image, account_id: bytes) -> Iterator[Row]:
    profile = image.profiles.get(account_id)
    if profile is not None:
        yield {"version": profile.version, "bytes": len(profile.sealed)}


def _pushes(image: Image, account_id: bytes) -> Iterator[Row]:
    for device_id in _devices_of(image, account_id):
        registration = image.pushes.registrations.get(device_id)
        if registration is not None:
            wakeup = image.pushes.wakeups.get(device_id)
            yield {
                "device_id": device_id,
                "kind": registration.address.kind,
                "wakeup_begun_at_ms": None if wakeup is None else wakeup.begun_at_ms,
                "wakeup_attempts": None if wakeup is None else wakeup.attempts,
                "wakeup_sent_at_ms": None if wakeup is None else wakeup.sent_at_ms,
            }


def _blobs(image: Image, account_id: bytes) -> Iterator[Row]:
    owned = (one for one in image.blobs.values() if one.owner_id == account_id)
    for blob in sorted(owned, key=lambda one: one.length):
        yield {
            "length": blob.length,
            "sha256": blob.sha256,
            "received": blob.offset,
            "complete": blob.complete,
            "created_at_ms": blob.created_at_ms,
            "expires_at_ms": blob.expires_at_ms,
        }


def _logs(image: Image, account_id: bytes) -> Iterator[Row]:
    for (owner, name), log in sorted(image.account_logs.items(), key=lambda item: item[0]):
        if owner == account_id:
            size = sum(len(entry.entry) for entry in log.entries.values())
            yield {
                "name": name,
                "first_index": log.first_index,
                "next_index": log.next_index,
                "bytes": size,
            }


def _log_entries(image: Image, account_id: bytes) -> Iterator[Row]:
    for (owner, name), log in sorted(image.account_logs.items(), key=lambda item: item[0]):
        for entry in log.entries.values() if owner == account_id else ():
            yield {"name": name, "index": entry.index, "at_ms": entry.at_ms, "bytes": len(entry.entry)}


def _leaves(image: Image, account_id: bytes) -> Iterator[Row]:
    handle = _handle_of(image, account_id)
    about = {(LeafKind.MANIFEST, account_id)}
    if handle is not None:
        about.add((LeafKind.HANDLE, _subject(image, handle)))
    found = [(leaf.kind, leaf.version, index, leaf) for index, leaf in enumerate(image.leaves)]
    for kind, version, index, leaf in sorted(found, key=lambda one: one[:3]):
        if (kind, leaf.subject) in about:
            yield {
                "kind": int(kind),
                "version": version,
                "leaf_index": index,
                "value_hash": leaf.value_hash,
            }


def _holds(image: Image, account_id: bytes) -> Iterator[Row]:
    hold = image.holds.get(account_id)
    if hold is not None:
        kept = [one for one in image.held_envelopes if one.account_id == account_id]
        yield {
            "reason": hold.reason,
            "made_at_ms": hold.made_at_ms,
            "until_ms": hold.until_ms,
            "envelopes": len(kept),
            "envelope_bytes": sum(len(one.ciphertext) for one in kept),
        }


def _audit(image: Image, account_id: bytes) -> Iterator[Row]:
    for row in image.audit_rows:
        said = row.details
        if said is None:
            continue
        parts = {"actor": said.actor, "subject": said.subject}
        named = [
            name
            for name, party in parts.items()
            if party.kind == PartyKind.ACCOUNT and party.id == account_id
        ]
        if named:
            yield {
                "row": row.index,
                "at_ms": row.at_ms,
                "action": str(said.action),
                "as": named[0],
                "outcome": said.outcome,
                "detail": said.detail,
            }


_ROWS: Final[Mapping[Section, Callable[[Image, bytes], Iterator[Row]]]] = {
    Section.ACCOUNT: _account,
    Section.HANDLES: _handles,
    Section.KEPT_HANDLES: _kept_handles,
    Section.RESERVED_HANDLES: _reserved_handles,
    Section.INVITES: _invites,
    Section.GUESTS: _guests,
    Section.DEVICES: _devices,
    Section.MANIFESTS: _manifests,
    Section.DELIVERY_TOKENS: _tokens,
    Section.PREKEYS: _prekeys,
    Section.MAILBOXES: _mailboxes,
    Section.PROFILES: _profiles,
    Section.PUSHES: _pushes,
    Section.BLOBS: _blobs,
    Section.LOGS: _logs,
    Section.LOG_ENTRIES: _log_entries,
    Section.TRANSPARENCY_LEAVES: _leaves,
    Section.HOLDS: _holds,
    Section.AUDIT_ROWS: _audit,
}
