-- The first schema. No column anywhere says who sent an envelope, who asked for whose prekeys, or from which address.

-- Accounts; the current manifest's body is in `manifests`.
CREATE TABLE accounts (
    account_id       BLOB NOT NULL PRIMARY KEY CHECK (length(account_id) = 32),  -- SHA-256 of suite byte and root key
    role             TEXT NOT NULL,               -- a name of services/roles
    suspended        INTEGER NOT NULL DEFAULT 0,  -- 1: cannot receive, nor fetch bundles
    created_at_ms    INTEGER NOT NULL,            -- of the registration
    manifest_version INTEGER NOT NULL,            -- of the current manifest
    manifest_hash    BLOB NOT NULL                -- SHA-256 of the current manifest's body
) STRICT;

-- Every manifest that was ever accepted: contacts verify the chain.
CREATE TABLE manifests (
    account_id BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose
    version    INTEGER NOT NULL,                  -- 1, 2, 3 ...
    body       BLOB NOT NULL,                     -- the exact signed bytes
    signer     BLOB NOT NULL,                     -- 16 B device id, or empty for the root key
    signature  BLOB NOT NULL,                     -- Ed25519, 64 B
    PRIMARY KEY (account_id, version)
) STRICT;

-- The devices of the current manifests, and only those.
CREATE TABLE devices (
    device_number INTEGER PRIMARY KEY AUTOINCREMENT,  -- short key of the tables below; never used again
    device_id     BLOB NOT NULL UNIQUE CHECK (length(device_id) = 16),  -- random
    account_id    BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose
    signing_key   BLOB NOT NULL UNIQUE,           -- Ed25519, 32 B; no two devices share one
    identity_key  BLOB NOT NULL UNIQUE,           -- X25519, 32 B; no two devices share one
    flags         INTEGER NOT NULL,               -- of the manifest
    added_at_ms   INTEGER NOT NULL,               -- of the manifest
    seen_day      INTEGER NOT NULL DEFAULT 0      -- days since 1970 when it was last here; nothing finer is kept
) STRICT;
CREATE INDEX devices_by_account ON devices (account_id);

-- Names that lead to an account.
CREATE TABLE handles (
    handle       TEXT NOT NULL PRIMARY KEY,       -- 2 to 32 of a-z 0-9 . - _
    account_id   BLOB NOT NULL UNIQUE REFERENCES accounts ON DELETE CASCADE,  -- whose
    public_token BLOB                             -- 16 B delivery token that the directory gives away; NULL: not to be found
) STRICT;

-- Who may make an account.
CREATE TABLE invites (
    secret_hash   BLOB NOT NULL PRIMARY KEY,      -- SHA-256 of the secret in the link
    role          TEXT NOT NULL,                  -- what the account becomes
    uses_left     INTEGER NOT NULL CHECK (uses_left >= 0),  -- 0: used up
    expires_at_ms INTEGER,                        -- NULL: no end
    created_at_ms INTEGER NOT NULL                -- for the list
) STRICT;

-- Who may write to an account: only hashes, and no name of who holds the token.
CREATE TABLE delivery_tokens (
    account_id    BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose mailboxes it opens
    token_hash    BLOB NOT NULL,                  -- SHA-256 of the 16 B token
    token_class   INTEGER NOT NULL,               -- ports/delivery_tokens.TokenClass
    expires_at_ms INTEGER,                        -- NULL: until removed
    PRIMARY KEY (account_id, token_hash)
) STRICT, WITHOUT ROWID;

-- Nonces of signed requests that were used.
CREATE TABLE nonces (
    device_id     BLOB NOT NULL,                  -- who signed
    nonce         BLOB NOT NULL,                  -- 16 B
    expires_at_ms INTEGER NOT NULL,               -- after that the request's time alone refuses it
    PRIMARY KEY (device_id, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_expiry ON nonces (expires_at_ms);

-- Prekeys that are held for devices.
CREATE TABLE prekeys (
    device_number INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,  -- whose
    kind          INTEGER NOT NULL,               -- wire/prekeys.PrekeyKind
    key_class     INTEGER NOT NULL,               -- wire/prekeys.PrekeyClass
    key_id        INTEGER NOT NULL,               -- u32; only grows for each (device, kind)
    encoded       BLOB NOT NULL,                  -- the signed key as it travels
    PRIMARY KEY (device_number, kind, key_class, key_id)
) STRICT;

-- The highest prekey id that was ever accepted; stands when the keys are gone.
CREATE TABLE prekey_heights (
    device_number INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,  -- whose
    kind          INTEGER NOT NULL,               -- wire/prekeys.PrekeyKind
    highest       INTEGER NOT NULL,               -- u32
    PRIMARY KEY (device_number, kind)
) STRICT, WITHOUT ROWID;

-- Where each mailbox stands; the envelopes themselves say the rest.
CREATE TABLE mailboxes (
    device_number    INTEGER PRIMARY KEY REFERENCES devices ON DELETE CASCADE,  -- whose
    given_up_to      INTEGER NOT NULL DEFAULT 0,  -- sequences up to here are given, even if no row shows it
    attempt_sequence INTEGER NOT NULL DEFAULT 0,  -- the lowest unacknowledged envelope when it was last delivered
    attempts         INTEGER NOT NULL DEFAULT 0   -- how often that one was delivered
) STRICT;

-- What waits. The ciphertext is in the row, or in shared_ciphertexts when several mailboxes wait for one copy.
CREATE TABLE envelopes (
    envelope_number INTEGER PRIMARY KEY,          -- order of commit: a group's rows stand side by side
    device_number   INTEGER NOT NULL,             -- whose mailbox; removed with the device
    sequence        INTEGER NOT NULL,             -- place in the mailbox
    expires_at_ms   INTEGER NOT NULL,             -- then a missed range takes its place
    bytes           INTEGER NOT NULL,             -- length of the ciphertext, for the quota
    quarantined     INTEGER NOT NULL DEFAULT 0,   -- 1: delivered too often; skipped until fetched or acknowledged singly
    received_at_ms  INTEGER NOT NULL,             -- told to the recipient
    envelope_id     BLOB NOT NULL,                -- 16 B, the sender's choice
    digest          BLOB NOT NULL,                -- first 16 B of the ciphertext's SHA-256
    shared_number   INTEGER,                      -- where the shared ciphertext is; NULL: in this row
    ciphertext      BLOB                          -- NULL: shared
) STRICT;
-- Covers counting and expiring, so that neither touches a ciphertext.
CREATE INDEX envelopes_by_mailbox ON envelopes (device_number, sequence, quarantined, expires_at_ms, bytes);

-- One stored copy for the many targets of a fan-out.
CREATE TABLE shared_ciphertexts (
    shared_number INTEGER PRIMARY KEY,            -- of this copy
    ciphertext    BLOB NOT NULL                   -- as it was submitted
) STRICT;

-- How many wait for a shared copy. A table of its own: counting down must not write the ciphertext again.
CREATE TABLE shared_waiting (
    shared_number INTEGER PRIMARY KEY,            -- of the copy
    waiting       INTEGER NOT NULL                -- envelopes that point at it
) STRICT;

CREATE TRIGGER shared_ciphertext_left AFTER DELETE ON envelopes WHEN old.shared_number IS NOT NULL
BEGIN
    UPDATE shared_waiting SET waiting = waiting - 1 WHERE shared_number = old.shared_number;
    DELETE FROM shared_ciphertexts WHERE shared_number = old.shared_number
        AND (SELECT waiting FROM shared_waiting WHERE shared_number = old.shared_number) = 0;
    DELETE FROM shared_waiting WHERE shared_number = old.shared_number AND waiting = 0;
END;

-- Idempotency: what was accepted, until 7 days after it was settled. Envelope ids are random, so inserting each one
-- into a tree would write a page an envelope: those of a commit are noted together here, and merged into `records` later.
CREATE TABLE recent_records (
    batch_number INTEGER PRIMARY KEY,             -- order of commit
    batch        BLOB NOT NULL                    -- device number 8 || envelope id 16 || digest 16 || sequence 8, each record
) STRICT;

CREATE TABLE records (
    device_number INTEGER NOT NULL,               -- target; rows of a removed device go when the sweep comes by
    envelope_id   BLOB NOT NULL,                  -- 16 B
    digest        BLOB NOT NULL,                  -- first 16 B of the ciphertext's SHA-256
    sequence      INTEGER NOT NULL,               -- what it got in the mailbox
    PRIMARY KEY (device_number, envelope_id)
) STRICT, WITHOUT ROWID;

-- What was settled when, by the day: how a record's age is known without writing it at each acknowledgement.
CREATE TABLE settled_marks (
    device_number INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,  -- whose mailbox
    day           INTEGER NOT NULL,               -- days since 1970, when the mark was made
    settled_up_to INTEGER NOT NULL,               -- every sequence up to here was settled by then
    PRIMARY KEY (device_number, day)
) STRICT, WITHOUT ROWID;

-- Sequences that will never be delivered, until the owner has acknowledged them.
CREATE TABLE missed (
    device_number INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,  -- whose mailbox
    from_sequence INTEGER NOT NULL,               -- included
    to_sequence   INTEGER NOT NULL,               -- included
    reason        INTEGER NOT NULL,               -- wire/frames.MissedReason
    PRIMARY KEY (device_number, from_sequence)
) STRICT, WITHOUT ROWID;

-- What is known of blobs; their bytes are files.
CREATE TABLE blobs (
    blob_id       BLOB NOT NULL PRIMARY KEY,      -- 32 B capability
    owner_id      BLOB NOT NULL,                  -- account whose quota it uses
    length        INTEGER NOT NULL,               -- of the whole ciphertext, bytes
    sha256        BLOB NOT NULL,                  -- of the whole ciphertext, named at creation
    offset        INTEGER NOT NULL,               -- bytes that are durable
    complete      INTEGER NOT NULL,               -- 1: all there and the hash is equal
    created_at_ms INTEGER NOT NULL,               -- for the owner's list
    expires_at_ms INTEGER NOT NULL                -- moves on while the upload makes progress
) STRICT;
CREATE INDEX blobs_by_owner ON blobs (owner_id, length);
CREATE INDEX blobs_by_expiry ON blobs (expires_at_ms);
