-- What the log of a group asks of readers in the present epoch; and tokens of members who are out, until they were told.

ALTER TABLE groups ADD COLUMN read_token BLOB NOT NULL DEFAULT x'';
ALTER TABLE group_tokens ADD COLUMN is_gone INTEGER NOT NULL DEFAULT 0;
