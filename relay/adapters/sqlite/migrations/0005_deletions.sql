-- Accounts that are deleted: what was begun is finished, and goes from the disk as well. Names that nobody has any more.

CREATE TABLE account_deletions (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE  -- begun, to be finished
) STRICT;

CREATE TABLE deletion_traces (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),  -- one mark for all
    pending  INTEGER NOT NULL                     -- 1: free pages and the write-ahead log may hold a deleted account
) STRICT;
INSERT INTO deletion_traces VALUES (1, 0);

-- Handles that were given back, or whose account is gone: for a while nobody else gets them, to pose as who had them.
CREATE TABLE kept_handles (
    subject  BLOB NOT NULL PRIMARY KEY CHECK (length(subject) = 32),  -- salted hash of the handle, as in the transparency log
    owner_id BLOB REFERENCES accounts ON DELETE SET NULL,  -- who may take it again; NULL: nobody
    until_ms INTEGER NOT NULL                     -- then it is free
) STRICT;
CREATE INDEX kept_handles_by_owner ON kept_handles (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX kept_handles_by_time ON kept_handles (until_ms);
