-- Messages of others that were read here, of which the own other devices are told with the next receipts.

CREATE TABLE reads_to_share (
    message_n INTEGER PRIMARY KEY REFERENCES messages (n) ON DELETE CASCADE
) STRICT;
