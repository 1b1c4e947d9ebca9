-- What this device put into the logs of groups, as the relay took it: a relay that lost it gets it again. No key is in it.

CREATE TABLE own_appends (
    log_id     BLOB NOT NULL,
    log_index  INTEGER NOT NULL,  -- 0: the log was made with it
    request    BLOB NOT NULL,     -- JSON, as it was sent
    sent_at_ms INTEGER NOT NULL,
    PRIMARY KEY (log_id, log_index)
) STRICT;
CREATE INDEX own_appends_by_time ON own_appends (sent_at_ms);
