-- Groups as the own devices share them: one delivery token for the account, and groups that this device is not in (any more)
-- although the account is. `is_out`: the account is not in it either, so nobody asks to be let in again.

CREATE TABLE group_returns (
    group_id BLOB PRIMARY KEY,
    since INTEGER NOT NULL,
    is_out INTEGER NOT NULL DEFAULT 0,
    noted_at_ms INTEGER NOT NULL DEFAULT 0,
    asked_at_ms INTEGER NOT NULL DEFAULT 0,
    times_asked INTEGER NOT NULL DEFAULT 0,
    told INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Of a group that this account is out of: since which epoch it had been in.
ALTER TABLE groups ADD COLUMN left_since INTEGER NOT NULL DEFAULT 0;

ALTER TABLE group_own_tokens ADD COLUMN made_here INTEGER NOT NULL DEFAULT 1;
ALTER TABLE group_own_tokens ADD COLUMN rotate_asked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_own_tokens ADD COLUMN to_tell INTEGER NOT NULL DEFAULT 0;

-- Own tokens that another one took the place of, until the relay knows when they end.
CREATE TABLE group_ended_tokens (token BLOB PRIMARY KEY, ends_at_ms INTEGER NOT NULL) STRICT;

INSERT INTO to_share (key) SELECT 'group/' || lower(hex(id)) FROM groups;
CREATE TRIGGER group_made AFTER INSERT ON groups BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.id)));
END;
CREATE TRIGGER group_changed AFTER UPDATE OF status, left_since ON groups
WHEN old.status IS NOT new.status OR old.left_since IS NOT new.left_since
BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.id)));
END;
CREATE TRIGGER group_own_token_made AFTER INSERT ON group_own_tokens BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TRIGGER group_own_token_changed AFTER UPDATE OF token, registered ON group_own_tokens
WHEN old.token IS NOT new.token OR old.registered IS NOT new.registered
BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TRIGGER group_token_made AFTER INSERT ON group_tokens BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TRIGGER group_token_changed AFTER UPDATE OF token ON group_tokens WHEN old.token IS NOT new.token BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
