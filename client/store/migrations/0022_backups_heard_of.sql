-- What contacts tell of their newest backups, signed, to be told back to devices that come back from the words; and, of a
-- device that did: the backup that the relay gave it, compared with what it hears later.

ALTER TABLE peers ADD COLUMN backup BLOB;

CREATE TABLE restored (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    counter INTEGER NOT NULL, -- 0: the relay had none
    made_at_ms INTEGER NOT NULL,
    head BLOB NOT NULL, -- signed; empty if there was none
    at_ms INTEGER NOT NULL,
    heard INTEGER NOT NULL -- the highest counter of those that were heard of
) STRICT;
