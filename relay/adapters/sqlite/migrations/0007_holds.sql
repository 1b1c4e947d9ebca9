-- What would be deleted by its age, or with its account, and is kept until somebody says otherwise.

CREATE TABLE holds (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,  -- whose
    reason     TEXT NOT NULL,                     -- a word, like the number of a case
    made_at_ms INTEGER NOT NULL,                  -- when it was said, or said anew
    until_ms   INTEGER NOT NULL                   -- then it ends by itself
) STRICT;

-- Envelopes that expired while their account was held: out of the mailbox, and still here.
CREATE TABLE held_envelopes (
    held_number    INTEGER PRIMARY KEY,           -- in the order in which they expired
    account_id     BLOB NOT NULL,                 -- whose; those of no held account go when the sweep comes by
    device_id      BLOB NOT NULL,                 -- 16 B: for whom it was
    received_at_ms INTEGER NOT NULL,              -- when it came
    expired_at_ms  INTEGER NOT NULL,              -- when it had to go
    bytes          INTEGER NOT NULL,              -- length of the ciphertext
    ciphertext     BLOB NOT NULL                  -- as it was submitted
) STRICT;
CREATE INDEX held_envelopes_by_account ON held_envelopes (account_id, bytes);
