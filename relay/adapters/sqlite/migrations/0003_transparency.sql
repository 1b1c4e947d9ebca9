-- The transparency log (RFC 6962): what was shown of whom, so that nobody can be shown something else unnoticed.
-- Rows of leaves and nodes are only ever added. The step's Python part enters what stands in manifests and handles already.

CREATE TABLE transparency_log (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),   -- there is one log
    log_id       BLOB NOT NULL CHECK (length(log_id) = 32),  -- random; a new one after a restore
    handle_key   BLOB NOT NULL CHECK (length(handle_key) = 32),  -- random; gives each handle its salt
    head_time_ms INTEGER NOT NULL                -- of the newest signed head: after a restart times go on from there
) STRICT;

CREATE TABLE transparency_leaves (
    leaf_index INTEGER PRIMARY KEY,              -- 0, 1, 2 ... in the order of commits
    kind       INTEGER NOT NULL,                 -- wire/log_leaves.LeafKind
    subject    BLOB NOT NULL CHECK (length(subject) = 32),  -- account id, or salted hash of a handle
    version    INTEGER NOT NULL,                 -- of the manifest; of a handle: 1, 2, 3 ... with each change
    value_hash BLOB NOT NULL CHECK (length(value_hash) = 32)  -- SHA-256 of the manifest's body, of the account's id, or of nothing
) STRICT;
CREATE UNIQUE INDEX transparency_leaves_by_subject ON transparency_leaves (kind, subject, version);

CREATE TABLE transparency_nodes (
    node_number INTEGER PRIMARY KEY,             -- in the order in which leaves complete them; wire/merkle.py
    hash        BLOB NOT NULL                    -- 32 B
) STRICT;
