"""Gives the keys of the history archive to own devices that may have it, in a content that all own devices get.

All get it, for all count what a device says: who was left out would lack a number. The keys in it are sealed to the sealing keys
of the chosen devices, so that the others learn nothing. Functions of a Transaction. docs/protocol.md, "Who has the keys".
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account
from client.contents import ContentType, encode_body
from client.incoming import Incoming
from client.mailbox_batch import warn
from client.message import Warned
from client.signals import draft_signal
from client.store import facts, history, notices, queue
from client.store.archive_rows import history_keys, read_anew, save_history_keys
from client.store.database import Transaction
from client.system import System
from crypto import limits as crypto_limits
from crypto.errors import CryptoError, InvalidEncoding
from crypto.history_archive import Giving, HistoryKey, open_given_keys, seal_given_keys
from crypto.limits import DAY_MS
from crypto.manifest_chain import VerifiedManifest
from crypto.prekeys import Bundle, verify_bundle
from crypto.secret_value import replace
from crypto.sessions import PeerSessions
from relay.wire.links import encode_id

from .choice import DeviceId, archive_setting, may_give

_LEAST_SEALED: Final = 1_392  # 1,120 of HPKE, 16 of its tag, 256 for few keys
_MOST_SEALED: Final = 4_096  # above what 64 keys take
_AGAIN_MS: Final = DAY_MS
"""So long after a device got no keys they are given again."""
_AHEAD_MS: Final = DAY_MS
"""So far before this one the clock of the device that made a key may be: a key of later would be the newest for long."""

KeyId = Annotated[
    bytes, Meta(min_length=crypto_limits.HISTORY_KEY_ID_BYTES, max_length=crypto_limits.HISTORY_KEY_ID_BYTES)
]
_Devices = Annotated[list[DeviceId], Meta(max_length=crypto_limits.MAX_DEVICES_PER_ACCOUNT)]


class Gift(msgspec.Struct, frozen=True, array_like=True):
    """The keys for one device."""

    device_id: DeviceId
    sealing_key_id: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    sealed: Annotated[bytes, Meta(min_length=_LEAST_SEALED, max_length=_MOST_SEALED)]


class HistoryKeysBody(msgspec.Struct, frozen=True, array_like=True):
    """The body of history keys: for each own device that gets them, all keys of the device that gives them."""

    gifts: Annotated[list[Gift], Meta(max_length=crypto_limits.MAX_DEVICES_PER_ACCOUNT)]
    newest: KeyId | None = None
    """The id of the giver's newest key: who may have it and got none learns what it lacks."""


class _Chosen(msgspec.Struct, frozen=True, array_like=True):
    """What stands in the store for such a body until it is encrypted: only then it is known what seals."""

    devices: _Devices


_body: Final = msgspec.msgpack.Decoder(HistoryKeysBody)
_chosen: Final = msgspec.msgpack.Decoder(_Chosen)


def draft_gifts(tx: Transaction, account: Account, devices: Iterable[bytes], system: System) -> None:
    """Draft a content for all own devices with the keys that are here by then, for these devices alone."""
    body = encode_body(_Chosen(sorted(devices)))
    draft_signal(tx, account, [account.account_id], ContentType.HISTORY_KEYS, body, system)


def receivers(tx: Transaction, drafts: Iterable[queue.Draft]) -> set[bytes]:
    """The devices that these drafts give keys to: sealing takes a bundle of each."""
    rows = (history.find(tx, draft.message_n) for draft in drafts if draft.content is None)
    bodies = [row.body for row in rows if row is not None and row.type == ContentType.HISTORY_KEYS]
    return {device_id for body in bodies for device_id in _chosen.decode(body).devices}


def sealed_body(
    tx: Transaction,
    account: Account,
    body: bytes,
    *,
    chain: VerifiedManifest,
    sessions: dict[bytes, PeerSessions],
    bundles: Mapping[bytes, Bundle | None],
    now_ms: int,
) -> bytes:
    """The body that goes out for what was drafted; `sessions` note how new the keys of the bundles are.

    A device without a session gets nothing at all, which was told; one whose bundle is no good gets no keys: that is told
    here, and they are given again a day later.
    """
    keys, gifts = history_keys(tx), []
    for device_id in _chosen.decode(body).devices:
        known, bundle = sessions.get(device_id), bundles.get(device_id)
        if known is None or not keys:
            continue
        try:
            if bundle is None:
                raise InvalidEncoding("the relay gives no keys of it")
            entry = chain.device(device_id)
            seen = verify_bundle(bundle, account.account_id, entry, now_ms=now_ms, seen=known.seen_keys)
        except CryptoError as error:
            detail = f"an own device did not get the keys of the history archive: {error}"
            notices.tell(tx, Warned("history_not_given", detail, encode_id(account.account_id)))
            facts.set_number(tx, facts.HISTORY_GIFTS_DUE_MS, now_ms + _AGAIN_MS)
            continue
        sessions[device_id] = replace(known, seen_keys=seen)
        giving = Giving(account.account_id, account.device_id, device_id)
        sealed = seal_given_keys(keys, bundle.sealing, giving)
        gifts.append(Gift(device_id, bundle.sealing.key_id, sealed))
    return encode_body(HistoryKeysBody(gifts, keys[0].id_for(account.account_id) if keys else None))


def take_history_keys(incoming: Incoming) -> None:
    """Handle the content: managers give keys, and who was let have them. What is for others is not looked at.

    Raises InvalidEncoding for that of another account.
    """
    if not incoming.is_own:
        raise InvalidEncoding("only own devices give history keys")
    try:
        body = _body.decode(incoming.body)
    except msgspec.DecodeError as error:
        raise InvalidEncoding("not the body of history keys") from error
    account, mine = incoming.account, incoming.account.device_id
    gifts = [gift for gift in body.gifts if gift.device_id == mine]
    if may_give(incoming.tx, account, incoming.device_id):
        for gift in gifts:
            _take_gift(incoming, gift)
        _note_newest(incoming, body.newest, is_given=bool(gifts))
    elif gifts:
        _refuse(incoming, "gives keys of the history archive, and may not have them")


def _take_gift(incoming: Incoming, gift: Gift) -> None:
    tx, account = incoming.tx, incoming.account
    giving = Giving(account.account_id, incoming.device_id, account.device_id)
    try:
        keys = open_given_keys(gift.sealed, gift.sealing_key_id, incoming.batch.prekeys, giving)
    except CryptoError as error:
        # The content itself is counted: it came, and who gave it is no other.
        _refuse(incoming, f"gives keys of the history archive that do not open: {error}")
        return
    if save_history_keys(tx, _of_possible_times(incoming, keys)):
        read_anew(tx)


def _note_newest(incoming: Incoming, newest: bytes | None, *, is_given: bool) -> None:
    """Whether a key seals by now that this device may have, and was not given: the one before is known to who left."""
    tx, account = incoming.tx, incoming.account
    if newest is None or account.device_id not in archive_setting(tx).devices:
        return
    if newest not in {one.id_for(account.account_id) for one in history_keys(tx)}:
        facts.set_number(tx, facts.HISTORY_KEY_AWAITED, int.from_bytes(newest, "big"))
        detail = "this device did not get the newest key of the history archive, and writes nothing into it until then"
        notices.tell_once(tx, Warned("history_not_given", detail, encode_id(account.account_id)))
    elif is_given:
        facts.set_number(tx, facts.HISTORY_KEY_AWAITED, 0)


def sealing_history_key(tx: Transaction, account: Account) -> HistoryKey | None:
    """The key that seals now; None without one, and while others have a newer one that is to come."""
    keys, awaited = history_keys(tx), facts.number(tx, facts.HISTORY_KEY_AWAITED)
    if awaited and awaited not in {int.from_bytes(one.id_for(account.account_id), "big") for one in keys}:
        return None
    return keys[0] if keys else None


def _refuse(incoming: Incoming, what: str) -> None:
    detail = f"the own device {incoming.device_id.hex()} {what}"
    warn(incoming.tx, "history_refused", detail, incoming.account.account_id)


def _of_possible_times(incoming: Incoming, keys: Iterable[HistoryKey]) -> list[HistoryKey]:
    """Without those of a day to come, which are told: whoever made one would have it seal all that comes until then."""
    given = list(keys)
    kept = [one for one in given if one.made_at_ms <= incoming.batch.now_ms + _AHEAD_MS]
    if len(kept) < len(given):
        _refuse(incoming, "gives keys of the history archive of a time to come")
    return kept
