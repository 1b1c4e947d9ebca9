-- Ways into groups. Secrets that this device gave out are kept as hashes; those it was given are needed to ask.

CREATE TABLE group_invites (
    secret_hash BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    token BLOB,
    role INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    for_account BLOB,
    asks INTEGER NOT NULL
) STRICT;
CREATE INDEX group_invites_of_group ON group_invites (group_id);
CREATE TABLE group_invite_uses (
    secret_hash BLOB NOT NULL,
    account_id BLOB NOT NULL,
    PRIMARY KEY (secret_hash, account_id)
) STRICT;

CREATE TABLE group_waiting (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    manifest_version INTEGER NOT NULL,
    wants INTEGER NOT NULL,
    role INTEGER NOT NULL,
    asked_at_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;

CREATE TABLE group_joins (
    group_id BLOB PRIMARY KEY,
    inviter BLOB NOT NULL,
    secret BLOB NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;
