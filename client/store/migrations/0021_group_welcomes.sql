-- Who is to get a welcome to a group whose state is too large for an envelope: once its blob is with the relay.

CREATE TABLE group_welcomes (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
-- Of thousands of members, those whose list has to be fetched.
CREATE INDEX peers_stale ON peers (account_id) WHERE stale = 1;
