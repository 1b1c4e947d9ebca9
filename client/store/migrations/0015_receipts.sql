-- Messages of others whose arrival or reading their author is told of, and when: together, after a random wait.

CREATE TABLE receipts_due (
    message_n INTEGER PRIMARY KEY REFERENCES messages (n) ON DELETE CASCADE,
    account_id BLOB NOT NULL,
    is_read INTEGER NOT NULL
) STRICT;
CREATE INDEX receipts_due_to ON receipts_due (account_id);
CREATE TABLE receipt_times (
    account_id BLOB PRIMARY KEY,
    due_at_ms INTEGER,
    sent_at_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Disappearing messages. A removed one leaves its name for a while, so that it is not shown again when it comes again.
ALTER TABLE messages ADD COLUMN expires_after_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN expires_at_ms INTEGER;
CREATE INDEX messages_expiring ON messages (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE expired (
    account_id BLOB NOT NULL,
    message_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, message_id)
) STRICT;
