-- Everything a client keeps. Ids and keys are BLOBs, times are milliseconds since 1970 UTC.

CREATE TABLE account (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    origin TEXT NOT NULL,
    relay_key BLOB NOT NULL,
    root_seed BLOB,
    device_id BLOB NOT NULL,
    signing_seed BLOB NOT NULL,
    identity_seed BLOB NOT NULL,
    chain BLOB NOT NULL,
    handle TEXT,
    role TEXT NOT NULL,
    registered INTEGER NOT NULL
) STRICT;

-- Single values: committed_sequence, caught_up_at_ms, prekey_next_ids.
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

-- Own delivery tokens; the relay knows their hashes once `registered`.
CREATE TABLE tokens (class TEXT PRIMARY KEY, token BLOB NOT NULL, registered INTEGER NOT NULL) STRICT;

CREATE TABLE prekeys (
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    class INTEGER NOT NULL,
    made_at_ms INTEGER NOT NULL,
    seed BLOB NOT NULL,
    uploaded INTEGER NOT NULL,
    retired_at_ms INTEGER,
    PRIMARY KEY (kind, id)
) STRICT;

-- Other accounts. `handle` was looked up at the relay, `claimed` is what they call themselves.
CREATE TABLE peers (
    account_id BLOB PRIMARY KEY,
    chain BLOB,
    handle TEXT UNIQUE,
    claimed TEXT,
    token BLOB,
    token_class TEXT,
    accepted INTEGER NOT NULL DEFAULT 0,
    heard_since_send INTEGER NOT NULL DEFAULT 0,
    received_since_send INTEGER NOT NULL DEFAULT 0,
    last_sent_at_ms INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 0,
    fork BLOB
) STRICT;

-- All sessions with one device of a peer, as a snapshot of crypto.
CREATE TABLE sessions (
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    state BLOB NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, device_id)
) STRICT;

CREATE TABLE conversations (
    id BLOB PRIMARY KEY,
    account_id BLOB NOT NULL,
    own_counter INTEGER NOT NULL DEFAULT 0,
    own_hash BLOB NOT NULL DEFAULT x''
) STRICT;

-- What each sending device counted last in a conversation, and which of its messages are not here.
CREATE TABLE counters (
    conversation_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (conversation_id, device_id)
) STRICT;
CREATE TABLE absent (
    conversation_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, device_id, counter)
) STRICT;
CREATE INDEX absent_untold ON absent (told) WHERE told = 0;

-- The history. `conversation_id` is null while the recipient's name has not been looked up.
CREATE TABLE messages (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id BLOB,
    message_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    outgoing INTEGER NOT NULL,
    type INTEGER NOT NULL,
    body BLOB NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER,
    state TEXT NOT NULL,
    refusal TEXT,
    given INTEGER NOT NULL,
    file_path TEXT,
    file_sha256 BLOB
) STRICT;
CREATE UNIQUE INDEX messages_once ON messages (account_id, message_id);
CREATE INDEX messages_of_conversation ON messages (conversation_id, n);
CREATE INDEX messages_not_given ON messages (n) WHERE given = 0;

-- Messages that are not encrypted yet, in the order they were sent. `content`: it was encrypted before, for other
-- devices or under an envelope id that is too old now, and goes out again as exactly this, not to `except_devices`.
CREATE TABLE drafts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    message_n INTEGER NOT NULL REFERENCES messages (n),
    recipient TEXT NOT NULL,
    account_id BLOB,
    content BLOB,
    except_devices BLOB NOT NULL
) STRICT;
CREATE INDEX drafts_of_message ON drafts (message_n);

-- A file on its way up: the encrypted copy, and where the relay takes it.
CREATE TABLE uploads (
    message_n INTEGER PRIMARY KEY REFERENCES messages (n),
    spool TEXT NOT NULL,
    length INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    location TEXT
) STRICT;

-- Finished envelopes: these bytes and no others go out under this id.
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL UNIQUE,
    message_n INTEGER NOT NULL REFERENCES messages (n),
    account_id BLOB NOT NULL,
    content BLOB NOT NULL,
    targets BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_of_message ON outbox (message_n);

-- Envelopes that no key opened; acknowledged, kept and counted.
CREATE TABLE unopened (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL,
    received_at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

-- What the user should be told, until an application took it.
CREATE TABLE tidings (n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body BLOB NOT NULL) STRICT;
