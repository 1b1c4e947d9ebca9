-- The history archive. `archived_index`: the entry of the account's log that holds all of a message; -1: none does, or
-- something was done to the message since, at `acted_at_ms`. `order_ms` orders a conversation also where it is read from the log.

ALTER TABLE messages ADD COLUMN archived_index INTEGER NOT NULL DEFAULT -1;
ALTER TABLE messages ADD COLUMN acted_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN order_ms INTEGER;
CREATE INDEX messages_to_archive ON messages (archived_index, n) WHERE hidden = 0 AND expires_after_seconds = 0;
CREATE INDEX messages_in_time ON messages (conversation_id, coalesce(order_ms, received_at_ms, sent_at_ms)) WHERE hidden = 0;

-- History keys, secret: the newest one seals.
CREATE TABLE history_keys (key BLOB PRIMARY KEY, made_at_ms INTEGER NOT NULL) STRICT;

-- How far this device has read the log, and what it knows of it. `begins_at`: what was below was taken away on purpose.
-- `floor`: what was archived below is due again. `rewriting_from`: what is older than this entry is being written again, then goes.
CREATE TABLE history_log (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    next_index INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    begins_at INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    rewriting_from INTEGER,
    rewritten_at_ms INTEGER NOT NULL,
    emptied INTEGER NOT NULL DEFAULT 0,
    lacks_key INTEGER NOT NULL DEFAULT 0,
    restored INTEGER NOT NULL DEFAULT 0,
    newest_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
