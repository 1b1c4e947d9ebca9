-- Columns that a thief of this file alone must not read are sealed: u32 key id, 12 B nonce, ciphertext, 16 B tag, under the
-- keys of a file of their own. Those so far: handles.public_token, transparency_log.handle_key.

CREATE TABLE column_keys (
    key_id INTEGER NOT NULL PRIMARY KEY CHECK (key_id > 0),  -- in the key file
    proof  BLOB NOT NULL                                     -- sealed by it: a file with another key of this id is told
) STRICT;

-- As it was, but for the length of its key, which is 32 B longer once it is sealed.
CREATE TABLE transparency_log_sealed (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),  -- there is one log
    log_id       BLOB NOT NULL CHECK (length(log_id) = 32),  -- random; another one after a restore
    handle_key   BLOB NOT NULL,                   -- sealed; salts the handles: whoever sees proofs cannot try out names
    head_time_ms INTEGER NOT NULL                 -- of the newest signed head: the next one is not earlier, whatever the clock says
) STRICT;
INSERT INTO transparency_log_sealed SELECT * FROM transparency_log;
DROP TABLE transparency_log;
ALTER TABLE transparency_log_sealed RENAME TO transparency_log;

-- What stood here in the clear goes from the disk as well.
UPDATE deletion_traces SET pending = 1;
