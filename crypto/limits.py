"""Every number of this package, with its unit in its name; docs/protocol.md quotes them."""

from typing import Final

SUITE: Final = 1  # the only suite; a byte in every transcript and envelope

DAY_MS: Final = 86_400_000

# Sizes of keys and values, bytes
ACCOUNT_ID_BYTES: Final = 32
DEVICE_ID_BYTES: Final = 16
HASH_BYTES: Final = 32
X25519_KEY_BYTES: Final = 32
ED25519_KEY_BYTES: Final = 32
ED25519_SEED_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64
KEM_PUBLIC_KEY_BYTES: Final = 1_184  # ML-KEM-768 encapsulation key
KEM_CIPHERTEXT_BYTES: Final = 1_088
KEM_SEED_BYTES: Final = 64  # d ‖ z of FIPS 203
KEM_SHARED_SECRET_BYTES: Final = 32
SEALING_KEY_BYTES: Final = 1_216  # X-Wing: ML-KEM-768 key ‖ X25519 key
SEALING_SEED_BYTES: Final = 32
SEALING_ENC_BYTES: Final = 1_120  # X-Wing encapsulation: ML-KEM ciphertext ‖ X25519 key
AEAD_KEY_BYTES: Final = 32
AEAD_NONCE_BYTES: Final = 12
AEAD_TAG_BYTES: Final = 16

# Transcripts
MAX_TRANSCRIPT_FIELD_BYTES: Final = 2**32 - 1

# Manifests
MAX_DEVICES_PER_ACCOUNT: Final = 16
MAX_MANIFEST_VERSION: Final = 2**53 - 1  # the most that every JSON number holds exactly
MAX_ADDED_AT_MS: Final = 2**53 - 1  # of a device

# Prekeys
ONE_TIME_STOCK: Final = 100  # one-time keys of each kind, kept at the relay
PREKEY_ROTATION_MS: Final = 6 * DAY_MS  # 6 days: a daily look then replaces them within 7
MAX_KEY_AGE_MS: Final = 45 * DAY_MS  # 45 days: rotating keys that are older are refused
RETIRED_KEY_LIFETIME_MS: Final = 45 * DAY_MS  # 45 days: 7 of use, 7 of retries, 30 in the mailbox
MAX_CLOCK_SKEW_MS: Final = DAY_MS  # a key made later than this after now is refused

# Sessions
MAX_UNANSWERED_SESSION_MS: Final = 7 * DAY_MS  # 7 days from the fetch of the bundle
MAX_ARCHIVED_SESSIONS: Final = 5  # beside the active one
ARCHIVED_SESSION_LIFETIME_MS: Final = 45 * DAY_MS  # 45 days
MAX_SETUP_NUMBER_JUMP: Final = 1_000  # above the highest number used
MAX_SETUP_MANIFESTS: Final = 64  # that one set-up envelope may carry

# Envelopes and padding
MAX_ENVELOPE_BYTES: Final = 262_144  # ciphertext after padding
SMALL_BUCKETS_BYTES: Final = (256, 512, 1_024)  # then PADMÉ

# Ratchet
MAX_FORWARD_JUMP: Final = 10_000  # numbers skipped at once: a mailbox's worth
MAX_SKIPPED_KEYS: Final = 2_000  # message keys of a session, the newest ones
MAX_RECEIVING_CHAINS: Final = 5  # of a session: the current one and older ones
MAX_USED_NUMBERS: Final = 2_000  # of a session, to tell a repeated envelope from a copied state
MAX_MESSAGE_NUMBER: Final = 2**32 - 1
SKIPPED_KEY_LIFETIME_MS: Final = 45 * DAY_MS  # 45 days; of closed chains too
KEM_STEP_AFTER_ROOT_STEPS: Final = 20  # a step is offered on the next chain after these
KEM_STEP_AFTER_MS: Final = DAY_MS  # or after this time

# Blobs
BLOB_KEY_BYTES: Final = 32
BLOB_SALT_BYTES: Final = 16
BLOB_COMMITMENT_BYTES: Final = 32
BLOB_SEGMENT_BYTES: Final = 65_536  # of padded plaintext; 16 more as ciphertext

# Groups
GROUP_ID_BYTES: Final = 32
EPOCH_SECRET_BYTES: Final = 32
CHAIN_ID_BYTES: Final = 12
MAX_CHAIN_MESSAGES: Final = 500  # then the sender begins a new chain
MAX_CHAIN_AGE_MS: Final = 7 * DAY_MS  # 7 days; of a sender chain, and of an epoch
MAX_SENDER_CHAINS: Final = 5  # of one sending device in one group, the newest ones
MAX_KEPT_EPOCHS: Final = 256  # secrets of a group's epochs, the newest ones, for messages still under way
MAX_KEPT_STEPS: Final = 4_096  # secrets of a broadcast group besides, older than those, the newest ones
MAX_EPOCH: Final = 2**53 - 1  # of epochs, steps and states: none is ever reached
MAX_HELD_MESSAGES: Final = 1_000  # of a group, until their chain or epoch secret comes
MAX_HELD_BYTES: Final = 67_108_864  # of a group, in all: as a mailbox
HELD_MESSAGE_LIFETIME_MS: Final = 7 * DAY_MS  # 7 days
MAX_GROUP_MEMBERS: Final = 10_000
MAX_BANNED: Final = 10_000  # accounts that may not be added
MAX_COMMIT_CHANGES: Final = 3_000  # of one commit; its entry is at most 256 KiB
MAX_GROUP_SETTINGS: Final = 64
MAX_SETTING_NAME_BYTES: Final = 64
MAX_SETTING_VALUE_BYTES: Final = 4_096
LEAVES_SHARE_A_CUT_MS: Final = 10 * 60 * 1_000  # 10 minutes; leaves may wait so long for one cut
EPOCH_SECRET_WAIT_MS: Final = 60 * 1_000  # 60 s; then another entitled device cuts anew

# Linking
LINK_MAILBOX_ID_BYTES: Final = 16
LINK_NONCE_BYTES: Final = 32
LINK_LIFETIME_MS: Final = 60 * 1_000  # 60 s from the request's making
LINK_CODE_DIGITS: Final = 8
MAX_DEVICE_NAME_BYTES: Final = 64

# Recovery
RECOVERY_KEY_BYTES: Final = 32
RECOVERY_WORDS: Final = 24
MAX_BACKUP_BYTES: Final = 64 * 1_024 * 1_024  # of one backup, before sealing
MAX_BACKUP_COUNTER: Final = 2**53 - 1  # also of its manifest version and time

# History archive
HISTORY_KEY_BYTES: Final = 32
HISTORY_KEY_ID_BYTES: Final = 8
HISTORY_SALT_BYTES: Final = 32
HISTORY_COMMITMENT_BYTES: Final = 32
MAX_HISTORY_KEYS: Final = 64  # kept by a device, and sealed together; the oldest are forgotten first
MAX_HISTORY_KEY_MS: Final = 2**53  # the time of a key: every store and every JSON number holds it
MAX_HISTORY_CONTENT_BYTES: Final = 250_000  # of one entry before padding: with all around it 256 KiB

# Profiles
PROFILE_KEY_BYTES: Final = 32
PROFILE_SALT_BYTES: Final = 32
PROFILE_COMMITMENT_BYTES: Final = 32
LEAST_PROFILE_BYTES: Final = 1_024  # padded: how long a name is does not show
MAX_PROFILE_CONTENT_BYTES: Final = 16_000  # before padding

# Transparency
LOG_ID_BYTES: Final = 32
MAX_LOG_SIZE: Final = 2**53 - 1
MAX_PROOF_HASHES: Final = 53  # of an inclusion proof: one for each bit of a size
