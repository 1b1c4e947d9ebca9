"""Every KDF info, HMAC constant prefix and signature context: `tokenim/v1 <purpose>` and a zero byte (B7).

The zero byte ends the label, so none is a prefix of another; a test checks it, and that each is used.
"""

from typing import Final

# Signatures and hashes (first field of a transcript)
MANIFEST: Final = b"tokenim/v1 manifest\x00"
DEVICE: Final = b"tokenim/v1 device\x00"
PREKEY: Final = b"tokenim/v1 prekey\x00"
SESSION_TRANSCRIPT: Final = b"tokenim/v1 session transcript\x00"
SAFETY_NUMBER: Final = b"tokenim/v1 safety number\x00"

# Key derivation and sealing (HKDF info, HPKE info)
SESSION_KEYS: Final = b"tokenim/v1 session keys\x00"
SETUP_ENVELOPE: Final = b"tokenim/v1 setup envelope\x00"

# Ratchet (HKDF info; MESSAGE is the first field of a message's associated data)
ROOT_STEP: Final = b"tokenim/v1 root step\x00"
ROOT_STEP_KEM: Final = b"tokenim/v1 root step with kem\x00"
HEADER_KEYS: Final = b"tokenim/v1 header keys\x00"
MESSAGE_KEYS: Final = b"tokenim/v1 message keys\x00"
EPHEMERAL_KEY: Final = b"tokenim/v1 ephemeral key\x00"
MESSAGE: Final = b"tokenim/v1 message\x00"

# Blobs (HKDF info)
BLOB: Final = b"tokenim/v1 blob\x00"

# Groups: signatures, hashes and associated data (first field of a transcript), then HKDF info and HMAC prefix
GROUP_STATE: Final = b"tokenim/v1 group state\x00"
GROUP_COMMIT: Final = b"tokenim/v1 group commit\x00"
GROUP_REQUEST: Final = b"tokenim/v1 group request\x00"
GROUP_ENTRY: Final = b"tokenim/v1 group log entry\x00"
GROUP_MESSAGE: Final = b"tokenim/v1 group message\x00"
GROUP_SIGNATURE: Final = b"tokenim/v1 group signature\x00"
EPOCH_COMMITMENT: Final = b"tokenim/v1 epoch commitment\x00"
EPOCH_KEYS: Final = b"tokenim/v1 epoch keys\x00"
EPOCH_STEP: Final = b"tokenim/v1 epoch step\x00"
GROUP_CHAIN: Final = b"tokenim/v1 group chain\x00"

# References between messages
MESSAGE_REFERENCE: Final = b"tokenim/v1 message reference\x00"

# Linking
LINK_REQUEST: Final = b"tokenim/v1 link request\x00"
LINK_ANSWER: Final = b"tokenim/v1 link answer\x00"
LINK_CODE: Final = b"tokenim/v1 link code\x00"

# Recovery
RECOVERY_ROOT: Final = b"tokenim/v1 recovery root\x00"
RECOVERY_SEALING: Final = b"tokenim/v1 recovery sealing\x00"
BACKUP: Final = b"tokenim/v1 backup\x00"
BACKUP_KEY: Final = b"tokenim/v1 backup key\x00"

# History archive (HKDF and HPKE info)
HISTORY_KEY_ID: Final = b"tokenim/v1 history key id\x00"
HISTORY_ENTRY: Final = b"tokenim/v1 history entry\x00"
HISTORY_KEYS: Final = b"tokenim/v1 history keys\x00"
HISTORY_GIFT: Final = b"tokenim/v1 history gift\x00"

# Profiles (HKDF info; first field of what is signed)
PROFILE: Final = b"tokenim/v1 profile\x00"
PROFILE_SIGNATURE: Final = b"tokenim/v1 profile signature\x00"

# Transparency
LOG_HEAD: Final = b"tokenim/v1 log head\x00"
LOG_LEAF: Final = b"tokenim/v1 log leaf\x00"
LOG_HANDLE: Final = b"tokenim/v1 log handle\x00"
