-- The recovery key that the root key was made from, until the user has confirmed its words; accounts from before have none.
ALTER TABLE account ADD COLUMN recovery_key BLOB;

-- A device that comes into its account by the words: its keys, and the list that the root key signed for it, kept before
-- the relay sees it. The words themselves are never kept.
CREATE TABLE restoring (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    origin TEXT NOT NULL,
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    signing_seed BLOB NOT NULL,
    identity_seed BLOB NOT NULL
) STRICT;
