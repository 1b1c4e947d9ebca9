-- Accounts (32 B each) that listened in a broadcast group and speak from a commit on: they get the tokens of all.
ALTER TABLE group_proposals ADD COLUMN raised BLOB NOT NULL DEFAULT x'';
