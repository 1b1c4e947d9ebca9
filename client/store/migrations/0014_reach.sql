-- Whom the user cut off and how much of theirs was dropped since, and who is told the own contact token with the next
-- content. Beside the best token of another account, one of each lower class, for when that one is no good any more.

ALTER TABLE peers ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peers ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peers ADD COLUMN tell_token INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peers ADD COLUMN token_told_at_ms INTEGER NOT NULL DEFAULT 0;
CREATE TABLE spare_tokens (
    account_id BLOB NOT NULL,
    class TEXT NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (account_id, class)
) STRICT;

-- Own tokens that are changed: the next one until the relay has it and the contacts are on their way to hear of it; the
-- old one until the relay knows when it ends. `signal_n` is the message that tells them.
CREATE TABLE next_tokens (class TEXT PRIMARY KEY, token BLOB NOT NULL) STRICT;
CREATE TABLE retired_tokens (
    token_hash BLOB PRIMARY KEY,
    class TEXT NOT NULL,
    signal_n INTEGER,
    since_ms INTEGER NOT NULL
) STRICT;

-- Own devices share that, too.
DROP TRIGGER peers_changed;
CREATE TRIGGER peers_changed AFTER UPDATE OF handle, claimed, token, token_class, accepted, blocked ON peers
WHEN old.handle IS NOT new.handle OR old.claimed IS NOT new.claimed OR old.token IS NOT new.token
    OR old.token_class IS NOT new.token_class OR old.accepted IS NOT new.accepted OR old.blocked IS NOT new.blocked
BEGIN
    INSERT OR IGNORE INTO to_share (key) VALUES ('contact/' || lower(hex(new.account_id)));
END;
