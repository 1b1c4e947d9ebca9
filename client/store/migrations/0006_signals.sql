-- What no history shows (empties, and what clients tell each other) lies among the messages, so that it waits, is
-- retried and settled as they are. A draft may be for some devices of its account alone.

ALTER TABLE messages ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
UPDATE messages SET hidden = 1 WHERE type = 0;
CREATE INDEX messages_hidden ON messages (n) WHERE hidden = 1;

ALTER TABLE drafts ADD COLUMN only_devices BLOB;
ALTER TABLE outbox ADD COLUMN only_devices BLOB;
