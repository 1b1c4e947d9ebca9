-- Devices of others whose keys were no good: not asked about, and not told of, again for a while.

CREATE TABLE left_out (
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, device_id)
) STRICT;
