-- Groups that this device is in, or was. `view`, `sending` and the chains of senders are snapshots of crypto: secret.

CREATE TABLE groups (
    id BLOB PRIMARY KEY,
    status TEXT NOT NULL,
    view BLOB NOT NULL,
    sending BLOB,
    checked BLOB NOT NULL DEFAULT x'',
    due_at_ms INTEGER NOT NULL,
    read_at_ms INTEGER NOT NULL DEFAULT 0,
    missing_since_ms INTEGER,
    secret_at_ms INTEGER NOT NULL DEFAULT 0,
    cut_read_at_ms INTEGER NOT NULL DEFAULT 0,
    cut_is_own INTEGER NOT NULL DEFAULT 0,
    asked_at_ms INTEGER NOT NULL DEFAULT 0,
    list_told INTEGER NOT NULL DEFAULT 0,
    withheld BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE INDEX groups_due ON groups (due_at_ms);

-- Which accounts the newest state lists, and whether they are in the audience.
CREATE TABLE group_members (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    hears INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX group_members_of_account ON group_members (account_id);

-- The chains of each sending device.
CREATE TABLE group_senders (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) STRICT;

-- Whom the present own chain is handed to: the devices then (none: not known yet), and the hidden message that carries it.
CREATE TABLE group_given (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    devices BLOB NOT NULL,
    message_n INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;

-- Group envelopes that wait: for a secret (no group is known yet), for a chain, or for the log to be read.
CREATE TABLE group_held (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB,
    device_id BLOB,
    chain_id BLOB,
    digest BLOB NOT NULL UNIQUE,
    envelope BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    held_at_ms INTEGER NOT NULL,
    asked_at_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX group_held_of_group ON group_held (group_id, chain_id);

-- What came in sessions for a group that is not known here yet.
CREATE TABLE group_parked (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    type INTEGER NOT NULL,
    body BLOB NOT NULL,
    parked_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX group_parked_of_group ON group_parked (group_id);

-- Delivery tokens of class `group`, of other members.
CREATE TABLE group_tokens (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX group_tokens_of_account ON group_tokens (account_id);

-- The own ones; they may be made before the group is known. The relay knows their hashes once `registered`.
CREATE TABLE group_own_tokens (
    group_id BLOB PRIMARY KEY,
    token BLOB NOT NULL,
    registered INTEGER NOT NULL
) STRICT;

-- Changes that this device shall commit, and what became of those that cannot be.
CREATE TABLE group_wants (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    change BLOB NOT NULL,
    not_before_ms INTEGER NOT NULL,
    refusal TEXT
) STRICT;
CREATE INDEX group_wants_of_group ON group_wants (group_id);

-- The commit under way, at most one of a group: with it a client that was killed goes on where it was.
CREATE TABLE group_proposals (
    group_id BLOB PRIMARY KEY,
    stage TEXT NOT NULL,
    entry_index INTEGER NOT NULL,
    entry BLOB NOT NULL,
    hand_out BLOB,
    newcomers BLOB NOT NULL,
    removed BLOB NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL DEFAULT x''
) STRICT;

-- Whose asking was answered, so that nobody is made to answer without end.
CREATE TABLE group_answers (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    lacks INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id, lacks)
) STRICT;

-- A row for a group has the group's id as its account; what was tried and waits on (a full mailbox, nobody to reach) holds
-- up nothing else.
ALTER TABLE drafts ADD COLUMN is_group INTEGER NOT NULL DEFAULT 0;
ALTER TABLE drafts ADD COLUMN is_stuck INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN is_group INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN is_stuck INTEGER NOT NULL DEFAULT 0;

-- Version and device ids of the newest list, beside it: a group of thousands is addressed without parsing each list.
ALTER TABLE peers ADD COLUMN devices BLOB;
ALTER TABLE peers ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
