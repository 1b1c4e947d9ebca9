-- The newest log entry that somebody told this device of, past what it has read: u64 index, 32 B account that told, entry.
-- It says who took this account out, if the log turns out to be shut.
ALTER TABLE groups ADD COLUMN told_entry BLOB NOT NULL DEFAULT x'';
