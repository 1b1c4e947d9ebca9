-- Sealed logs. An account's logs are its own; of a group log no column says who made it, writes it or reads it.

-- Where each log of an account stands.
CREATE TABLE account_logs (
    log_number  INTEGER PRIMARY KEY,              -- short key of its entries
    account_id  BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whose
    name        TEXT NOT NULL,                    -- 1 to 16 of a-z
    first_index INTEGER NOT NULL,                 -- oldest entry that is kept
    next_index  INTEGER NOT NULL,                 -- what the next entry gets
    bytes       INTEGER NOT NULL,                 -- of all entries that are kept
    UNIQUE (account_id, name)                     -- one log of a name
) STRICT;

CREATE TABLE account_log_entries (
    log_number  INTEGER NOT NULL REFERENCES account_logs ON DELETE CASCADE,  -- which log
    entry_index INTEGER NOT NULL,                 -- 0, 1, 2 ... without a gap
    at_ms       INTEGER NOT NULL,                 -- the relay's time when it came
    entry       BLOB NOT NULL,                    -- opaque
    PRIMARY KEY (log_number, entry_index)
) STRICT;

-- Where each group log stands.
CREATE TABLE group_logs (
    log_number      INTEGER PRIMARY KEY,          -- short key of its entries
    log_id          BLOB NOT NULL UNIQUE CHECK (length(log_id) = 32),  -- random
    write_key       BLOB NOT NULL,                -- Ed25519, 32 B: signs the next append
    read_token_hash BLOB NOT NULL,                -- SHA-256 of the 32 B token
    first_index     INTEGER NOT NULL,             -- oldest entry that is kept
    next_index      INTEGER NOT NULL,             -- what the next entry gets
    bytes           INTEGER NOT NULL,             -- of all entries that are kept
    used_day        INTEGER NOT NULL              -- days since 1970 when it was last used; nothing finer is kept
) STRICT;
CREATE INDEX group_logs_by_use ON group_logs (used_day);

CREATE TABLE group_log_entries (
    log_number  INTEGER NOT NULL REFERENCES group_logs ON DELETE CASCADE,  -- which log
    entry_index INTEGER NOT NULL,                 -- 0, 1, 2 ... without a gap
    at_ms       INTEGER NOT NULL,                 -- the relay's time when it came
    signed_by   BLOB NOT NULL,                    -- the write key of that time: an append that is repeated is verified by it
    digest      BLOB NOT NULL,                    -- SHA-256 of what was signed: whether an append is the same one again
    entry       BLOB NOT NULL,                    -- opaque
    PRIMARY KEY (log_number, entry_index)
) STRICT;
