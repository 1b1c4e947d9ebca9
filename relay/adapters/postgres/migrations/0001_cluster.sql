-- The first schema. No column anywhere says who sent an envelope, who asked for whose prekeys, or from which address.
--
-- Every hot table begins with the key that it is spread by: device_id, account_id, or its own id. Foreign keys exist only
-- between tables that are spread by the same key, so that Citus keeps them on one node (deploy/citus/distribute.sql); what else
-- belongs together is deleted by statements of the stores.

-- ---- spread by account_id

CREATE TABLE accounts (
    account_id       bytea   NOT NULL PRIMARY KEY CHECK (length(account_id) = 32),  -- SHA-256 of suite byte and root key
    role             text    NOT NULL,                -- a name of services/roles
    suspended        boolean NOT NULL DEFAULT false,  -- cannot receive, nor fetch bundles
    created_at_ms    bigint  NOT NULL,                -- of the registration
    manifest_version bigint  NOT NULL,                -- of the current manifest
    manifest_hash    bytea   NOT NULL,                -- SHA-256 of the current manifest's body
    handle           text                             -- the same as in handles; NULL: none
);
CREATE INDEX accounts_by_role ON accounts (role, account_id);
CREATE INDEX accounts_suspended ON accounts (account_id) WHERE suspended;

-- Every manifest that was ever accepted: contacts verify the chain.
CREATE TABLE manifests (
    account_id bytea  NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose
    version    bigint NOT NULL,                       -- 1, 2, 3 ...
    body       bytea  NOT NULL,                       -- the exact signed bytes
    signer     bytea  NOT NULL,                       -- 16 B device id, or empty for the root key
    signature  bytea  NOT NULL,                       -- Ed25519, 64 B
    PRIMARY KEY (account_id, version)
);

-- The devices of the current manifests, and only those.
CREATE TABLE devices (
    account_id   bytea   NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose
    device_id    bytea   NOT NULL,                    -- 16 B, random; also in device_owners
    signing_key  bytea   NOT NULL,                    -- Ed25519, 32 B; also in device_keys
    identity_key bytea   NOT NULL,                    -- X25519, 32 B; also in device_keys
    flags        integer NOT NULL,                    -- of the manifest
    added_at_ms  bigint  NOT NULL,                    -- of the manifest
    PRIMARY KEY (account_id, device_id)
);

-- Who may write to an account: only hashes, and no name of who holds the token.
CREATE TABLE delivery_tokens (
    account_id    bytea    NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose mailboxes it opens
    token_hash    bytea    NOT NULL,                  -- SHA-256 of the 16 B token
    token_class   smallint NOT NULL,                  -- ports/delivery_tokens.TokenClass
    expires_at_ms bigint,                             -- NULL: until removed
    PRIMARY KEY (account_id, token_hash)
);

-- Deletions that were begun, to be finished.
CREATE TABLE account_deletions (
    account_id bytea NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE
);

-- What would be deleted by its age, or with its account, and is kept until somebody says otherwise.
CREATE TABLE holds (
    account_id bytea  NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,  -- whose
    reason     text   NOT NULL,                       -- a word, like the number of a case
    made_at_ms bigint NOT NULL,                       -- when it was said, or said anew
    until_ms   bigint NOT NULL                        -- then it ends by itself
);

-- Envelopes that expired while their account was held: out of the mailbox, and still here.
CREATE TABLE held_envelopes (
    account_id     bytea  NOT NULL,                   -- whose; those of no held account go when the sweep comes by
    held_number    bigint GENERATED ALWAYS AS IDENTITY,  -- tells them apart
    device_id      bytea  NOT NULL,                   -- 16 B: for whom it was
    sequence       bigint NOT NULL,                   -- its place in that mailbox
    received_at_ms bigint NOT NULL,                   -- when it came
    expired_at_ms  bigint NOT NULL,                   -- when it had to go
    bytes          integer NOT NULL,                  -- length of the ciphertext
    ciphertext     bytea  NOT NULL,                   -- as it was submitted
    PRIMARY KEY (account_id, held_number)
);

-- What an account says of itself, sealed: the newest version that its devices gave.
CREATE TABLE profiles (
    account_id bytea  NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,  -- whose
    version    bigint NOT NULL,                       -- 1, 2, 3 ... of its devices' choice; only grows
    sealed     bytea  NOT NULL                        -- opaque
);

CREATE TABLE guests (
    account_id    bytea  NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,  -- the guest
    expires_at_ms bigint NOT NULL                     -- then the account is deleted
);
CREATE INDEX guests_by_end ON guests (expires_at_ms);

CREATE TABLE guest_hosts (
    account_id bytea NOT NULL REFERENCES guests ON DELETE CASCADE,  -- the guest
    host_id    bytea NOT NULL,                        -- whom it may write to
    PRIMARY KEY (account_id, host_id)
);
CREATE INDEX guest_hosts_by_host ON guest_hosts (host_id);

-- Where each sealed log of an account stands.
CREATE TABLE account_logs (
    account_id  bytea  NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose
    name        text   NOT NULL,                      -- 1 to 16 of a-z
    first_index bigint NOT NULL,                      -- oldest entry that is kept
    next_index  bigint NOT NULL,                      -- what the next entry gets
    bytes       bigint NOT NULL,                      -- of all entries that are kept
    PRIMARY KEY (account_id, name)
);

CREATE TABLE account_log_entries (
    account_id  bytea  NOT NULL,                      -- whose log
    name        text   NOT NULL,                      -- which log
    entry_index bigint NOT NULL,                      -- 0, 1, 2 ... without a gap
    at_ms       bigint NOT NULL,                      -- the relay's time when it came
    entry       bytea  NOT NULL,                      -- opaque
    PRIMARY KEY (account_id, name, entry_index),
    FOREIGN KEY (account_id, name) REFERENCES account_logs ON DELETE CASCADE
);

-- ---- spread by device_id

-- Which account a device is of: the root of all that is spread by device.
CREATE TABLE device_owners (
    device_id  bytea   NOT NULL PRIMARY KEY CHECK (length(device_id) = 16),
    account_id bytea   NOT NULL,                      -- whose
    seen_day   integer NOT NULL DEFAULT 0             -- days since 1970 when it was last here; nothing finer is kept
);
CREATE INDEX device_owners_by_seen_day ON device_owners (seen_day);

-- Nonces of signed requests that were used.
CREATE TABLE nonces (
    device_id     bytea  NOT NULL,                    -- who signed
    nonce         bytea  NOT NULL,                    -- 16 B
    expires_at_ms bigint NOT NULL,                    -- after that the request's time alone refuses it
    PRIMARY KEY (device_id, nonce)
);
CREATE INDEX nonces_by_expiry ON nonces (expires_at_ms);

-- Prekeys that are held for devices.
CREATE TABLE prekeys (
    device_id bytea    NOT NULL REFERENCES device_owners ON DELETE CASCADE,  -- whose
    kind      smallint NOT NULL,                      -- wire/prekeys.PrekeyKind
    key_class smallint NOT NULL,                      -- wire/prekeys.PrekeyClass
    key_id    bigint   NOT NULL,                      -- u32; only grows for each (device, kind)
    encoded   bytea    NOT NULL,                      -- the signed key as it travels
    PRIMARY KEY (device_id, kind, key_class, key_id)
);

-- The highest prekey id that was ever accepted; stands when the keys are gone.
CREATE TABLE prekey_heights (
    device_id bytea    NOT NULL REFERENCES device_owners ON DELETE CASCADE,  -- whose
    kind      smallint NOT NULL,                      -- wire/prekeys.PrekeyKind
    highest   bigint   NOT NULL,                      -- u32
    PRIMARY KEY (device_id, kind)
);

-- Where devices are woken while they are not connected.
CREATE TABLE push_registrations (
    device_id       bytea NOT NULL PRIMARY KEY REFERENCES device_owners ON DELETE CASCADE,  -- one for each device
    registration_id bytea NOT NULL CHECK (length(registration_id) = 16),  -- random; another one each time that it registers
    kind            text  NOT NULL,                   -- of the push service: web, unifiedpush, webhook, apns or fcm
    sealed          bytea NOT NULL                    -- sealed: the service's address of the device, its keys, and the token of a wakeup
);

-- The outbox: one wakeup for a device until it connects.
CREATE TABLE push_wakeups (
    device_id   bytea   NOT NULL PRIMARY KEY REFERENCES push_registrations ON DELETE CASCADE,  -- who is to be woken
    begun_at_ms bigint  NOT NULL,                     -- when the first cause came
    due_at_ms   bigint  NOT NULL,                     -- of the next try
    attempts    integer NOT NULL,                     -- that failed
    urgent      boolean NOT NULL,                     -- for the service's own priority field
    sent_at_ms  bigint                                -- when the service took it; NULL: it did not yet
);
CREATE INDEX push_wakeups_due ON push_wakeups (due_at_ms) WHERE sent_at_ms IS NULL;

-- Where each mailbox stands. Whoever changes a mailbox locks its row first: sequences are committed in their order.
CREATE TABLE mailboxes (
    device_id        bytea   NOT NULL PRIMARY KEY REFERENCES device_owners ON DELETE CASCADE,  -- whose
    given_up_to      bigint  NOT NULL DEFAULT 0,      -- sequences up to here are given
    envelopes        integer NOT NULL DEFAULT 0,      -- that wait, quarantined ones too
    bytes            bigint  NOT NULL DEFAULT 0,      -- of their ciphertexts
    has_missed       boolean NOT NULL DEFAULT false,  -- there are rows in missed
    attempt_sequence bigint  NOT NULL DEFAULT 0,      -- the lowest unacknowledged envelope when it was last delivered
    attempts         integer NOT NULL DEFAULT 0       -- how often that one was delivered
) WITH (fillfactor = 50);

-- What waits. No foreign key here and at records, which each message would check: they go with the device's mailbox by
-- a statement. The ciphertext is in the row, or in shared_ciphertexts when several mailboxes wait for one copy.
CREATE TABLE envelopes (
    device_id      bytea   NOT NULL,  -- whose mailbox
    sequence       bigint  NOT NULL,                  -- place in the mailbox
    expires_at_ms  bigint  NOT NULL,                  -- then a missed range takes its place
    received_at_ms bigint  NOT NULL,                  -- told to the recipient
    bytes          integer NOT NULL,                  -- length of the ciphertext, for the quota
    quarantined    boolean NOT NULL DEFAULT false,    -- delivered too often; skipped until fetched or acknowledged singly
    envelope_id    bytea   NOT NULL,                  -- 16 B, the sender's choice
    digest         bytea   NOT NULL,                  -- first 16 B of the ciphertext's SHA-256
    shared_id      bytea,                             -- where the shared ciphertext is; NULL: in this row
    ciphertext     bytea,                             -- NULL: shared
    PRIMARY KEY (device_id, sequence)
);
-- Ciphertexts do not shrink: trying to compress each one is lost time.
ALTER TABLE envelopes ALTER COLUMN ciphertext SET STORAGE EXTERNAL;
CREATE INDEX envelopes_by_expiry ON envelopes (expires_at_ms);

-- Idempotency: what was accepted, until 7 days after it was settled.
CREATE TABLE records (
    device_id   bytea  NOT NULL,  -- target
    envelope_id bytea  NOT NULL,                      -- 16 B
    digest      bytea  NOT NULL,                      -- first 16 B of the ciphertext's SHA-256
    sequence    bigint NOT NULL,                      -- what it got in the mailbox
    PRIMARY KEY (device_id, envelope_id)
);

-- What was settled when, by the day: how a record's age is known without writing it at each acknowledgement.
CREATE TABLE settled_marks (
    device_id     bytea   NOT NULL REFERENCES device_owners ON DELETE CASCADE,  -- whose mailbox
    day           integer NOT NULL,                   -- days since 1970, when the mark was made
    settled_up_to bigint  NOT NULL,                   -- every sequence up to here was settled by then
    PRIMARY KEY (device_id, day)
);

-- Sequences that will never be delivered, until the owner has acknowledged them.
CREATE TABLE missed (
    device_id     bytea    NOT NULL REFERENCES device_owners ON DELETE CASCADE,  -- whose mailbox
    from_sequence bigint   NOT NULL,                  -- included
    to_sequence   bigint   NOT NULL,                  -- included
    reason        smallint NOT NULL,                  -- wire/frames.MissedReason
    PRIMARY KEY (device_id, from_sequence)
);

-- ---- spread by an id of their own

-- One stored copy for the many targets of a fan-out; fetched by its id, never joined.
CREATE TABLE shared_ciphertexts (
    shared_id  bytea NOT NULL PRIMARY KEY,            -- 16 B, random
    ciphertext bytea NOT NULL                         -- as it was submitted
);
ALTER TABLE shared_ciphertexts ALTER COLUMN ciphertext SET STORAGE EXTERNAL;

-- How many wait for a shared copy. A table of its own: counting down must not write the ciphertext again.
CREATE TABLE shared_waiting (
    shared_id bytea   NOT NULL PRIMARY KEY REFERENCES shared_ciphertexts ON DELETE CASCADE,  -- of the copy
    waiting   integer NOT NULL                        -- envelopes that point at it
) WITH (fillfactor = 50);

-- No two devices share a key of either kind.
CREATE TABLE device_keys (
    device_key bytea NOT NULL PRIMARY KEY,            -- a signing key or an identity key, 32 B
    device_id  bytea NOT NULL                         -- whose
);
CREATE INDEX device_keys_by_device ON device_keys (device_id);

-- Names that lead to an account.
CREATE TABLE handles (
    handle       text  NOT NULL PRIMARY KEY,          -- 2 to 32 of a-z 0-9 . - _
    account_id   bytea NOT NULL,                      -- whose; also in accounts
    public_token bytea                                -- sealed 16 B delivery token that the directory gives away; NULL: not to be found
);

-- Handles that were given back, or whose account is gone: for a while nobody else gets them, to pose as who had them.
CREATE TABLE kept_handles (
    subject  bytea  NOT NULL PRIMARY KEY CHECK (length(subject) = 32),  -- salted hash of the handle, as in the transparency log
    owner_id bytea,                                   -- who may take it again; NULL: nobody
    until_ms bigint NOT NULL                          -- then it is free
);
CREATE INDEX kept_handles_by_owner ON kept_handles (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX kept_handles_by_time ON kept_handles (until_ms);

-- Handles that nobody gets, or one account alone.
CREATE TABLE reserved_handles (
    handle     text NOT NULL PRIMARY KEY,             -- as people write it
    account_id bytea                                  -- who may take it; NULL: nobody
);
CREATE INDEX reserved_handles_by_account ON reserved_handles (account_id) WHERE account_id IS NOT NULL;

-- Who may make an account.
CREATE TABLE invites (
    secret_hash   bytea   NOT NULL PRIMARY KEY,       -- SHA-256 of the secret in the link
    role          text    NOT NULL,                   -- what the account becomes
    uses_left     integer NOT NULL CHECK (uses_left >= 0),  -- 0: used up
    expires_at_ms bigint,                             -- NULL: no end
    created_at_ms bigint  NOT NULL,                   -- for the list
    made_by       bytea,                              -- the account that made it; NULL: an operator
    stay_seconds  bigint                              -- of a guest: how long its account lives
);
CREATE INDEX invites_by_maker ON invites (made_by) WHERE made_by IS NOT NULL;

-- Whom the guests of an invite may write to.
CREATE TABLE invite_hosts (
    secret_hash bytea NOT NULL REFERENCES invites ON DELETE CASCADE,  -- of the invite
    host_id     bytea NOT NULL,                       -- an account
    PRIMARY KEY (secret_hash, host_id)
);
CREATE INDEX invite_hosts_by_host ON invite_hosts (host_id);

-- What is known of blobs; their bytes are files.
CREATE TABLE blobs (
    blob_id       bytea   NOT NULL PRIMARY KEY,       -- 32 B capability
    owner_id      bytea   NOT NULL,                   -- account whose quota it uses
    length        bigint  NOT NULL,                   -- of the whole ciphertext, bytes
    sha256        bytea   NOT NULL,                   -- of the whole ciphertext, named at creation
    durable       bigint  NOT NULL,                   -- bytes that are durable
    complete      boolean NOT NULL,                   -- all there and the hash is equal
    created_at_ms bigint  NOT NULL,                   -- for the owner's list
    expires_at_ms bigint  NOT NULL                    -- moves on while the upload makes progress
);
CREATE INDEX blobs_by_owner ON blobs (owner_id, length);
CREATE INDEX blobs_by_expiry ON blobs (expires_at_ms);

-- Group logs: no column says who made one, writes it or reads it.
CREATE TABLE group_logs (
    log_id          bytea   NOT NULL PRIMARY KEY CHECK (length(log_id) = 32),  -- random
    write_key       bytea   NOT NULL,                 -- Ed25519, 32 B: signs the next append
    read_token_hash bytea   NOT NULL,                 -- SHA-256 of the 32 B token
    first_index     bigint  NOT NULL,                 -- oldest entry that is kept
    next_index      bigint  NOT NULL,                 -- what the next entry gets
    bytes           bigint  NOT NULL,                 -- of all entries that are kept
    used_day        integer NOT NULL                  -- days since 1970 when it was last used; nothing finer is kept
);
CREATE INDEX group_logs_by_use ON group_logs (used_day);

CREATE TABLE group_log_entries (
    log_id      bytea  NOT NULL REFERENCES group_logs ON DELETE CASCADE,  -- which log
    entry_index bigint NOT NULL,                      -- 0, 1, 2 ... without a gap
    at_ms       bigint NOT NULL,                      -- the relay's time when it came
    signed_by   bytea  NOT NULL,                      -- the write key of that time: an append that is repeated is verified by it
    digest      bytea  NOT NULL,                      -- SHA-256 of what was signed: whether an append is the same one again
    entry       bytea  NOT NULL,                      -- opaque
    PRIMARY KEY (log_id, entry_index)
);

-- ---- small or ordered as a whole: on one node

-- The transparency log (RFC 6962): what was shown of whom, so that nobody can be shown something else unnoticed.
-- Rows of leaves and nodes are only ever added. Whoever adds one locks the row of transparency_log first.
CREATE TABLE transparency_log (
    only_row     smallint NOT NULL PRIMARY KEY CHECK (only_row = 1),  -- there is one log
    log_id       bytea    NOT NULL CHECK (length(log_id) = 32),  -- random; another one after a restore
    handle_key   bytea    NOT NULL,                   -- sealed; salts the handles: whoever sees proofs cannot try out names
    size         bigint   NOT NULL DEFAULT 0,         -- leaves
    head_time_ms bigint   NOT NULL                    -- of the newest signed head: the next one is not earlier, whatever the clock says
);

CREATE TABLE transparency_leaves (
    leaf_index bigint   NOT NULL PRIMARY KEY,         -- 0, 1, 2 ... in the order of commits
    kind       smallint NOT NULL,                     -- wire/log_leaves.LeafKind
    subject    bytea    NOT NULL CHECK (length(subject) = 32),  -- account id, or salted hash of a handle
    version    bigint   NOT NULL,                     -- of the manifest; of a handle: 1, 2, 3 ... with each change
    value_hash bytea    NOT NULL CHECK (length(value_hash) = 32)  -- SHA-256 of the manifest's body, of the account's id, or of nothing
);
CREATE UNIQUE INDEX transparency_leaves_by_subject ON transparency_leaves (kind, subject, version);

CREATE TABLE transparency_nodes (
    node_number bigint NOT NULL PRIMARY KEY,          -- in the order in which leaves complete them; wire/merkle.py
    hash        bytea  NOT NULL                       -- 32 B
);

-- The audit log (RFC 6962): who did what, and what came of it. Rows are only ever added; the id of an account can be taken
-- out of them, and the details of old ones dropped: hashes and signatures stay. Whoever adds a row locks audit_log first.
CREATE TABLE audit_log (
    only_row  smallint NOT NULL PRIMARY KEY CHECK (only_row = 1),  -- there is one log
    size      bigint   NOT NULL,                      -- rows
    peaks     bytea    NOT NULL,                      -- hashes of the complete subtrees, 32 B each, largest first
    signature bytea    NOT NULL,                      -- of the newest row; empty: there is none
    kept_from bigint   NOT NULL                       -- rows before this one have no details any more
);
INSERT INTO audit_log VALUES (1, 0, '', '', 0);

CREATE TABLE audit_rows (
    row_index    bigint NOT NULL PRIMARY KEY,         -- 0, 1, 2 ... in the order of commits
    at_ms        bigint NOT NULL,                     -- when; 0: dropped, like the signature
    action       text,                                -- what: a word of services/audit.Action; NULL: the details were dropped
    actor_kind   smallint,                            -- who did it: wire/audit_rows.PartyKind
    actor_id     bytea,                               -- NULL: erased
    actor_salt   bytea,                               -- 16 B, random; NULL: erased
    actor_hash   bytea,                               -- salted hash of the id, once that was erased
    subject_kind smallint,                            -- to whom or what; likewise
    subject_id   bytea,                               -- NULL: erased
    subject_salt bytea,                               -- 16 B, random; NULL: erased
    subject_hash bytea,                               -- salted hash of the id, once that was erased
    outcome      text,                                -- empty: done; else the code of the refusal
    detail       text,                                -- a role's name or a number
    leaf_hash    bytea  NOT NULL,                     -- 32 B: the leaf of the tree
    signature    bytea                                -- 64 B: the relay's, over the log up to this row; NULL: dropped with the details of the next row
);
CREATE INDEX audit_rows_by_time ON audit_rows (at_ms) WHERE action IS NOT NULL;
CREATE INDEX audit_rows_by_actor ON audit_rows (actor_id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_rows_by_subject ON audit_rows (subject_id) WHERE subject_id IS NOT NULL;

-- Columns that a thief of the database alone must not read are sealed: u32 key id, 12 B nonce, ciphertext, 16 B tag, under
-- the keys of a file that each node has.
CREATE TABLE column_keys (
    key_id bigint NOT NULL PRIMARY KEY CHECK (key_id > 0),  -- in the key file
    proof  bytea  NOT NULL                            -- sealed by it: a file with another key of this id is told
);

-- How many devices were here by day, and how much was accepted. Nothing here is about somebody.
CREATE TABLE usage (
    day     integer NOT NULL,                         -- days since 1970
    counted text    NOT NULL,                         -- "active_devices", or a size class of accepted envelopes, like "8 KiB"
    count   bigint  NOT NULL,                         -- rounded down once the day is over
    PRIMARY KEY (day, counted)
);
