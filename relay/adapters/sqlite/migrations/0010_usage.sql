-- How many devices were here by day, and how much was accepted. Nothing here is about somebody.

CREATE TABLE usage (
    day     INTEGER NOT NULL,      -- days since 1970
    counted TEXT NOT NULL,         -- "active_devices", or a size class of accepted envelopes, like "8 KiB"
    count   INTEGER NOT NULL,      -- rounded down once the day is over
    PRIMARY KEY (day, counted)
) STRICT, WITHOUT ROWID;

-- The devices of a day are counted each half a minute: without an index that would be a look at all of them.
CREATE INDEX devices_by_seen_day ON devices (seen_day);
