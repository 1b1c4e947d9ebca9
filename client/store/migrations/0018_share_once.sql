-- OR IGNORE in a trigger gives way to the ON CONFLICT of the statement that fires it (SQLite, "CREATE TRIGGER"), so what
-- was noted already made an upsert fail. These ask instead.

DROP TRIGGER peers_made;
DROP TRIGGER peers_changed;
DROP TRIGGER tokens_made;
DROP TRIGGER tokens_changed;
CREATE TRIGGER peers_made AFTER INSERT ON peers BEGIN
    INSERT INTO to_share (key) SELECT 'contact/' || lower(hex(new.account_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'contact/' || lower(hex(new.account_id)));
END;
CREATE TRIGGER peers_changed AFTER UPDATE OF handle, claimed, token, token_class, accepted, blocked ON peers
WHEN old.handle IS NOT new.handle OR old.claimed IS NOT new.claimed OR old.token IS NOT new.token
    OR old.token_class IS NOT new.token_class OR old.accepted IS NOT new.accepted OR old.blocked IS NOT new.blocked
BEGIN
    INSERT INTO to_share (key) SELECT 'contact/' || lower(hex(new.account_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'contact/' || lower(hex(new.account_id)));
END;
CREATE TRIGGER tokens_made AFTER INSERT ON tokens BEGIN
    INSERT INTO to_share (key) SELECT 'token/' || new.class
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'token/' || new.class);
END;
CREATE TRIGGER tokens_changed AFTER UPDATE ON tokens
WHEN old.token IS NOT new.token OR old.registered IS NOT new.registered
BEGIN
    INSERT INTO to_share (key) SELECT 'token/' || new.class
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'token/' || new.class);
END;
