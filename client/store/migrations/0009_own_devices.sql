-- What the devices of this account share, the last writer wins. What has a table of its own (contacts, tokens) stands
-- there too; the triggers note what changed there, whoever changed it, until it was compared with what is shared.

CREATE TABLE shared_items (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    device_id BLOB NOT NULL
) STRICT;
CREATE TABLE to_share (key TEXT PRIMARY KEY) STRICT;
INSERT INTO to_share (key) SELECT 'contact/' || lower(hex(account_id)) FROM peers;
INSERT INTO to_share (key) SELECT 'token/' || class FROM tokens;
CREATE TRIGGER peers_made AFTER INSERT ON peers BEGIN
    INSERT OR IGNORE INTO to_share (key) VALUES ('contact/' || lower(hex(new.account_id)));
END;
CREATE TRIGGER peers_changed AFTER UPDATE OF handle, claimed, token, token_class, accepted ON peers
WHEN old.handle IS NOT new.handle OR old.claimed IS NOT new.claimed OR old.token IS NOT new.token
    OR old.token_class IS NOT new.token_class OR old.accepted IS NOT new.accepted
BEGIN
    INSERT OR IGNORE INTO to_share (key) VALUES ('contact/' || lower(hex(new.account_id)));
END;
CREATE TRIGGER tokens_made AFTER INSERT ON tokens BEGIN
    INSERT OR IGNORE INTO to_share (key) VALUES ('token/' || new.class);
END;
CREATE TRIGGER tokens_changed AFTER UPDATE ON tokens
WHEN old.token IS NOT new.token OR old.registered IS NOT new.registered
BEGIN
    INSERT OR IGNORE INTO to_share (key) VALUES ('token/' || new.class);
END;

-- Devices that this manager linked: when it gave them all it knows, and whether the messages so far are still due.
CREATE TABLE hand_overs (device_id BLOB PRIMARY KEY, given_at_ms INTEGER, history_due INTEGER NOT NULL) STRICT;

-- Link requests that this manager answered: each once.
CREATE TABLE answered_links (request_hash BLOB PRIMARY KEY, scanned_at_ms INTEGER NOT NULL) STRICT;

-- A device on its way into an account: its keys, before the account's list has it. Secret like those in `account`.
CREATE TABLE joining (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    origin TEXT NOT NULL,
    relay_key BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    signing_seed BLOB NOT NULL,
    identity_seed BLOB NOT NULL,
    manager_id BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL
) STRICT;
