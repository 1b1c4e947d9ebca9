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
from client.store import history, notices, queue
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

from .choice import DeviceId, may_give

_LEAST_SEALED: Final = 1_392  # 1,120 of HPKE, 16 of its tag, 256 for few keys
_MOST_SEALED: Final = 4_096  # above what 64 keys take
_AHEAD_MS: Final = DAY_MS
"""So far before this one the clock of the device that made a key may be: a key of later would be the newest for long."""

_Devices = Annotated[list[DeviceId], Meta(max_length=crypto_limits.MAX_DEVICES_PER_ACCOUNT)]


class Gift(msgspec.Struct, frozen=True, array_like=True):
    """The keys for one device."""

    device_id: DeviceId
    sealing_key_id: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    sealed: Annotated[bytes, Meta(min_length=_LEAST_SEALED, max_length=_MOST_SEALED)]


class HistoryKeysBody(msgspec.Struct, frozen=True, array_like=True):
    """The body of history keys: for each own device that gets them, all keys of the device that gives them."""

    gifts: Annotated[list[Gift], Meta(max_length=crypto_limits.MAX_DEVICES_PER_ACCOUNT)]


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

    A device without a session gets nothing at all, which was told; one whose bundle is no good gets no keys: that is told here.
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
            continue
        sessions[device_id] = replace(known, seen_keys=seen)
        giving = Giving(account.account_id, account.device_id, device_id)
        sealed = seal_given_keys(keys, bundle.sealing, giving)
        gifts.append(Gift(device_id, bundle.sealing.key_id, sealed))
    return encode_body(HistoryKeysBody(gifts))


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
    tx, account = incoming.tx, incoming.account
    giving = Giving(account.account_id, incoming.device_id, account.device_id)
    for gift in body.gifts:
        if gift.device_id != account.device_id:
            continue
        if not may_give(tx, account, incoming.device_id):
            detail = f"the device {incoming.device_id.hex()} gives keys of the history archive, and may not have them"
            warn(tx, "history_refused", detail, account.account_id)
            continue
        try:
            keys = open_given_keys(gift.sealed, gift.sealing_key_id, incoming.batch.prekeys, giving)
        except CryptoError as error:
            # The content itself is counted: it came, and who gave it is no other.
            detail = f"keys of the history archive do not open: {error}"
            warn(tx, "history_refused", detail, account.account_id)
            continue
        if save_history_keys(tx, _of_possible_times(incoming, keys)):
            read_anew(tx)


def _of_possible_times(incoming: Incoming, keys: Iterable[HistoryKey]) -> list[HistoryKey]:
    """Without those of a day to come, which are told: whoever made one would have it seal all that comes until then."""
    given = list(keys)
    kept = [one for one in given if one.made_at_ms <= incoming.batch.now_ms + _AHEAD_MS]
    if len(kept) < len(given):
        detail = f"the device {incoming.device_id.hex()} gives keys of the history archive of a time to come"
        warn(incoming.tx, "history_refused", detail, incoming.account.account_id)
    return kept
