-- What is known of the relay's transparency log, and the evidence where it contradicts itself.

-- The largest head of each log that the relay ever signed for; `place` counts up: the highest is the present log.
CREATE TABLE log_heads (
    log_id BLOB PRIMARY KEY,
    head BLOB NOT NULL,
    first_ms INTEGER NOT NULL,
    place INTEGER NOT NULL UNIQUE
) STRICT;

-- Heads that are signed, and that no proof has connected yet. `source`: the account that told it, empty for the relay.
CREATE TABLE log_unconnected (
    source BLOB NOT NULL,
    head BLOB NOT NULL,
    since_ms INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, head)
) STRICT;

-- The proof that the own manifest of this hash is in the log: goes into set-up envelopes.
CREATE TABLE log_own_proof (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    manifest_hash BLOB NOT NULL,
    proof BLOB NOT NULL
) STRICT;

-- What a contact was told last: the manifests on both sides, and when.
CREATE TABLE gossip_told (account_id BLOB PRIMARY KEY, told BLOB NOT NULL, at_ms INTEGER NOT NULL) STRICT;

-- What contacts hold as a manifest of `about` (their own account, or this one) that is newer than what is known here.
CREATE TABLE gossip_claims (
    about BLOB NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    source BLOB NOT NULL,
    PRIMARY KEY (about, version, hash, source)
) STRICT;

-- Signed manifests that a contact is to show, because it holds another one than is known here.
CREATE TABLE evidence_wanted (
    source BLOB NOT NULL,
    about BLOB NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, about, version, hash)
) STRICT;

-- Manifests that were shown to a contact who asked: each once.
CREATE TABLE evidence_shown (
    account_id BLOB NOT NULL,
    about BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (account_id, about, version)
) STRICT;

-- Alarms with the two objects that contradict each other, as they were signed or said. Never deleted.
CREATE TABLE evidence (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    account_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    known BLOB NOT NULL,
    other BLOB NOT NULL,
    UNIQUE (kind, account_id, known, other)
) STRICT;

-- Own manifests that this device signed, noted before the relay sees them.
CREATE TABLE own_manifests_made (hash BLOB PRIMARY KEY) STRICT;
