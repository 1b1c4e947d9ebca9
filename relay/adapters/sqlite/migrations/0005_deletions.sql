-- Accounts that are deleted: what was begun is finished, and goes from the disk as well.

CREATE TABLE account_deletions (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE  -- begun, to be finished
) STRICT;

CREATE TABLE deletion_traces (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),  -- one mark for all
    pending  INTEGER NOT NULL                     -- 1: free pages and the write-ahead log may hold a deleted account
) STRICT;
INSERT INTO deletion_traces VALUES (1, 0);
