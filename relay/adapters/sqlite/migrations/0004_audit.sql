-- The audit log (RFC 6962): who did what, and what came of it. Rows are only ever added; the id of an account can be taken
-- out of them, and the details of old ones dropped: hashes and signatures stay.

CREATE TABLE audit_log (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),  -- there is one log
    size      INTEGER NOT NULL,                  -- rows
    peaks     BLOB NOT NULL,                     -- hashes of the complete subtrees, 32 B each, largest first
    signature BLOB NOT NULL,                     -- of the newest row; empty: there is none
    kept_from INTEGER NOT NULL                   -- rows before this one have no details any more
) STRICT;
INSERT INTO audit_log VALUES (1, 0, x'', x'', 0);

CREATE TABLE audit_rows (
    row_index    INTEGER PRIMARY KEY,            -- 0, 1, 2 ... in the order of commits
    at_ms        INTEGER NOT NULL,               -- when; 0: dropped, like the signature
    action       TEXT,                           -- what: a word of services/audit.Action; NULL: the details were dropped
    actor_kind   INTEGER,                        -- who did it: wire/audit_rows.PartyKind
    actor_id     BLOB,                           -- NULL: erased
    actor_salt   BLOB,                           -- 16 B, random; NULL: erased
    actor_hash   BLOB,                           -- salted hash of the id, once that was erased
    subject_kind INTEGER,                        -- to whom or what; likewise
    subject_id   BLOB,                           -- NULL: erased
    subject_salt BLOB,                           -- 16 B, random; NULL: erased
    subject_hash BLOB,                           -- salted hash of the id, once that was erased
    outcome      TEXT,                           -- empty: done; else the code of the refusal
    detail       TEXT,                           -- a role's name or a number
    leaf_hash    BLOB NOT NULL,                  -- 32 B: the leaf of the tree
    signature    BLOB                            -- 64 B: the relay's, over the log up to this row; NULL: dropped with the details of the next row
) STRICT;
CREATE INDEX audit_rows_by_time ON audit_rows (at_ms) WHERE action IS NOT NULL;
CREATE INDEX audit_rows_by_actor ON audit_rows (actor_id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_rows_by_subject ON audit_rows (subject_id) WHERE subject_id IS NOT NULL;
