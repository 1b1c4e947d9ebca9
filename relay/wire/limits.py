"""Every number of the wire, its unit in its name; docs/protocol.md, "Limits".

A relay tells the values of `ADVERTISED` in `/.well-known/tokenim`; what is not in there is fixed by the protocol version.
"""

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Sizes of what is fixed by suite 1.
SUITE: Final = 1
ACCOUNT_ID_BYTES: Final = 32
DEVICE_ID_BYTES: Final = 16
ENVELOPE_ID_BYTES: Final = 16
NONCE_BYTES: Final = 16
CHALLENGE_BYTES: Final = 32
DIGEST_BYTES: Final = 16  # of a ciphertext, kept for idempotency: the first half of SHA-256
HASH_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32  # Ed25519 and X25519 alike
SIGNATURE_BYTES: Final = 64
KEM_PUBLIC_KEY_BYTES: Final = 1_184  # ML-KEM-768, FIPS 203 table 3
SEALING_KEY_BYTES: Final = 1_216  # MLKEM768-X25519 (X-Wing)
DELIVERY_TOKEN_BYTES: Final = 16
INVITE_SECRET_BYTES: Final = 16
BLOB_ID_BYTES: Final = 32
WORK_BYTES: Final = 8  # a proof of work

# Frames.
MAX_MESSAGE_BYTES: Final = 1_048_576  # one WebSocket message
MAX_FRAMES_PER_MESSAGE: Final = 64
MAX_ACK_ALSO: Final = 256  # single sequences in one `ack`
MAX_SEQUENCE: Final = 2**63 - 1

# Envelopes and mailboxes.
MAX_ENVELOPE_BYTES: Final = 262_144  # ciphertext after padding
MAX_CIPHERTEXTS_PER_SUBMIT: Final = 64
MAX_TARGETS_PER_SUBMIT: Final = 10_000
MAX_GRANTS_PER_SUBMIT: Final = 10_000
MAX_TTL_SECONDS: Final = 2_592_000  # 30 days, also the default
IDEMPOTENCY_SECONDS: Final = 604_800  # a record outlives ack or expiry by 7 days
WINDOW_ENVELOPES: Final = 256  # unacknowledged on one connection
WINDOW_BYTES: Final = 4_194_304
MAX_UNREAD_BYTES: Final = 1_048_576  # held in memory for a connection that does not read
MAILBOX_ENVELOPES: Final = 10_000
MAILBOX_BYTES: Final = 67_108_864
MAILBOX_NEARLY_FULL_PERCENT: Final = 80
REDELIVERY_SECONDS: Final = 60
MAX_DELIVERY_ATTEMPTS: Final = 5  # then the lowest unacknowledged envelope is quarantined
MAX_LONG_POLL_SECONDS: Final = 60
MAX_LONG_POLL_ENVELOPES: Final = 256

# Authentication.
MAX_CLOCK_SKEW_MS: Final = 90_000
NONCE_KEPT_SECONDS: Final = 180
AUTHENTICATE_WITHIN_SECONDS: Final = 10
NOT_READING_SECONDS: Final = 30  # without taking one byte of what waits for it: closed
PING_SECONDS: Final = 30  # a connection that answers no ping for two of them is gone

# Accounts, manifests, reach.
MAX_DEVICES: Final = 16
MAX_MANIFEST_BYTES: Final = 8_192
MAX_MANIFESTS_PER_ANSWER: Final = 100
MAX_PROFILE_BYTES: Final = 16_640  # sealed
MIN_HANDLE_CHARACTERS: Final = 2
MAX_HANDLE_CHARACTERS: Final = 32
MAX_DELIVERY_TOKENS: Final = 1_024
MAX_INVITE_USES: Final = 10_000
INVITES_OF_ACCOUNT: Final = 5
MAX_INVITE_SECONDS: Final = 2_592_000  # 30 days: of an invite that an account makes
MAX_GUEST_HOSTS: Final = 8  # accounts that a guest may write to
GUEST_SECONDS: Final = 2_592_000  # 30 days
MAX_GUEST_SECONDS: Final = 31_536_000  # a year
HANDLE_KEPT_SECONDS: Final = (
    7_776_000  # a handle that was given back, or whose account is gone: so long nobody else gets it
)
REGISTRATION_WORK_BITS: Final = (
    20  # leading zero bits of the work for an account without an invite, where there is no rush
)
MAX_REGISTRATION_WORK_BITS: Final = 24  # no relay asks for more
REGISTRATION_WORK_SECONDS: Final = 600  # so far may the work's time be from the relay's

# Strangers: what comes by delivery tokens of class `link` and `public`.
STRANGER_UNIT_BYTES: Final = 8_192  # an envelope takes a unit of its class's budget for each begun 8 KiB
STRANGER_BURST: Final = 64  # units of one class that an account takes at once
STRANGER_MAILBOX_PERCENT: Final = 15  # of a mailbox: all that one class can bring in MAX_TTL_SECONDS
PUBLIC_WORK_BITS: Final = 18  # leading zero bits of the work for a grant of class `public`; 0: none
MAX_PUBLIC_WORK_BITS: Final = 24  # no relay asks for more: half a minute of one processor in Python

# Prekeys.
ONE_TIME_PREKEYS: Final = 100  # of each kind in stock
MAX_PREKEYS_PER_APPEND: Final = 203  # 100 + 100 one-time keys, a last-resort, a signed, a sealing one
PREKEYS_LOW: Final = 25
PREKEY_BUDGET_BURST: Final = 6  # one-time keys for each (asking account, target device)
PREKEY_BUDGET_SECONDS: Final = 600  # then one in this time
PREKEY_TARGET_BURST: Final = 60  # one-time keys of one target device, all askers together
PREKEY_TARGET_SECONDS: Final = 30
BUNDLE_FETCH_BURST: Final = 1_000  # of one asker, last-resort answers included; beyond: refused
BUNDLE_FETCH_SECONDS: Final = 1

# Blobs.
MAX_BLOB_BYTES: Final = 4_294_967_296
MAX_BLOB_CHUNK_BYTES: Final = 8_388_608  # one PATCH
BLOB_QUOTA_BYTES: Final = 10_737_418_240  # of one account
BLOB_UPLOAD_SECONDS: Final = 86_400  # an unfinished upload is removed after this time without progress
BLOB_TTL_SECONDS: Final = 2_592_000

# Sealed logs.
MAX_LOG_ENTRY_BYTES: Final = 262_144
MAX_LOG_NAME_CHARACTERS: Final = 16  # of an account's log: a-z
MAX_ACCOUNT_LOGS: Final = 16  # of one account
ACCOUNT_LOG_ENTRIES: Final = 100_000  # all logs of one account together
ACCOUNT_LOG_BYTES: Final = 268_435_456
GROUP_LOG_ENTRIES: Final = 100_000  # one log; beyond, entries older than GROUP_LOG_KEPT_SECONDS make room
GROUP_LOG_BYTES: Final = 67_108_864
GROUP_LOG_KEPT_SECONDS: Final = 2_592_000  # so long no entry is dropped: as long as an envelope waits
GROUP_LOG_IDLE_SECONDS: Final = (
    15_552_000  # 180 days without a read or an append, counted by the day: the log is removed
)
LOG_ID_BYTES: Final = 32
LOG_READ_TOKEN_BYTES: Final = 32
MAX_LOG_ANSWER_ENTRIES: Final = 256
MAX_LOG_ANSWER_BYTES: Final = 1_048_576  # of entries

# Link mailboxes.
LINK_ID_BYTES: Final = 16
MAX_LINK_SLOT_BYTES: Final = 8_192
LINK_SECONDS: Final = 60  # from the first slot's writing
MAX_LINK_MAILBOXES: Final = 10_000  # of one relay, in memory
MAX_LINK_BYTES: Final = 67_108_864  # of all of them together
MAX_LINK_READERS: Final = 8  # that wait at one mailbox

# Push wakeups.
WAKE_TOKEN_BYTES: Final = 16  # all that a wakeup carries
PUSH_SECONDS: Final = 18_000  # a wakeup that no push service took for so long is dropped
MAX_PUSH_TARGET_CHARACTERS: Final = 2_048  # of a URL, or of a token at APNs or FCM

# Connections.
CONNECTIONS: Final = 50_000
CONNECTIONS_OF_ADDRESS: Final = 2_000  # of an address prefix: IPv4 /24, IPv6 /48
CONNECTIONS_OF_DEVICE: Final = 8

# HTTP.
MAX_REQUEST_BODY_BYTES: Final = 1_048_576

ADVERTISED: Final[Mapping[str, int]] = MappingProxyType(
    {
        name.lower(): value
        for name, value in tuple(globals().items())
        if name.isupper() and isinstance(value, int) and not name.startswith("_")
    }
)
"""What a relay tells of itself; an operator's configuration may lower quotas and times in it."""


def limits_digest(limits: Mapping[str, int]) -> bytes:
    """32 B SHA-256 of the limits as canonical JSON (sorted keys, no spaces): `ready` carries it, so a client sees a change."""
    return hashlib.sha256(json.dumps(dict(limits), sort_keys=True, separators=(",", ":")).encode()).digest()
