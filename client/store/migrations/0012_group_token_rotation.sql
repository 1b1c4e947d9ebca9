-- When the own token of a group is to be made anew, and the one that takes its place while that is under way.

ALTER TABLE group_own_tokens ADD COLUMN rotate_at_ms INTEGER;
ALTER TABLE group_own_tokens ADD COLUMN next_token BLOB;
