-- What a reference to a message is made of, and what was done to messages. Rows from before have no hash of their
-- content: nothing can name them.

ALTER TABLE messages ADD COLUMN content_hash BLOB;
-- 1: something was done to it, so that most rows cost no further look.
ALTER TABLE messages ADD COLUMN acted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN deleted_at_ms INTEGER;
ALTER TABLE messages ADD COLUMN deleted_by BLOB;

-- One of each account; an empty text is one that was taken back.
CREATE TABLE reactions (
    message_n INTEGER NOT NULL REFERENCES messages (n) ON DELETE CASCADE,
    account_id BLOB NOT NULL,
    act_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (message_n, account_id)
) STRICT;

-- Every later form of a text; the first one is the body of the message.
CREATE TABLE edits (
    message_n INTEGER NOT NULL REFERENCES messages (n) ON DELETE CASCADE,
    at_ms INTEGER NOT NULL,
    act_id BLOB NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (message_n, at_ms, act_id)
) STRICT;

-- Which accounts have a message on a device of theirs, and which have read it.
CREATE TABLE receipts (
    message_n INTEGER NOT NULL REFERENCES messages (n) ON DELETE CASCADE,
    account_id BLOB NOT NULL,
    delivered_at_ms INTEGER,
    read_at_ms INTEGER,
    PRIMARY KEY (message_n, account_id)
) STRICT;

-- Acts that came before their message.
CREATE TABLE waiting_acts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    target_account BLOB NOT NULL,
    message_id BLOB NOT NULL,
    reference BLOB NOT NULL,
    conversation_id BLOB,
    actor BLOB NOT NULL,
    act_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    text TEXT
) STRICT;
CREATE INDEX waiting_acts_by_target ON waiting_acts (target_account, message_id);
CREATE INDEX waiting_acts_by_actor ON waiting_acts (actor, n);
