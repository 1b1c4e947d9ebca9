-- History keys of before they were sealed, drafted for some devices alone, are read by nothing any more, and would stop what is for the
-- own devices: they go, and whoever may have the keys is given them anew.
INSERT OR REPLACE INTO facts (name, value) SELECT 'history_gifts_due_ms', x'0000000000000001' WHERE EXISTS (
    SELECT 1 FROM drafts JOIN messages ON messages.n = drafts.message_n
    WHERE messages.type = 5 AND drafts.content IS NULL AND drafts.only_devices IS NOT NULL
);
UPDATE messages SET body = x'', state = 'accepted' WHERE type = 5 AND n IN (
    SELECT message_n FROM drafts WHERE content IS NULL AND only_devices IS NOT NULL
);
DELETE FROM drafts WHERE content IS NULL AND only_devices IS NOT NULL AND message_n IN (
    SELECT n FROM messages WHERE type = 5
);
