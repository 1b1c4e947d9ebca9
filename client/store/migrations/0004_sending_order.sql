-- Messages of others stand in the order in which their device counted them, also when one came late: `place` is then
-- that of the next one of its device.

ALTER TABLE messages ADD COLUMN device_id BLOB;
ALTER TABLE messages ADD COLUMN counter INTEGER;
ALTER TABLE messages ADD COLUMN place INTEGER;
CREATE INDEX messages_counted ON messages (conversation_id, device_id, counter) WHERE device_id IS NOT NULL;
CREATE INDEX messages_in_place ON messages (conversation_id, coalesce(place, n), coalesce(counter, 0), n);
DROP INDEX messages_of_conversation;
