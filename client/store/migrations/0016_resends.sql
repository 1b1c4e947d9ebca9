-- What this device put into its conversations, as it was encrypted, and for which devices: so that one of them that
-- lacks it can get it again.

CREATE TABLE sent_contents (
    conversation_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    message_n INTEGER NOT NULL,
    content BLOB NOT NULL,
    devices BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL,
    resent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, counter)
) STRICT;
CREATE INDEX sent_contents_of_message ON sent_contents (message_n);
CREATE INDEX sent_contents_by_age ON sent_contents (made_at_ms);

-- How often an absent content was asked for, and whether its device says that it is gone.
ALTER TABLE absent ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE absent ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;

-- When a device was asked, and when it was answered.
CREATE TABLE resend_times (
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    asked_at_ms INTEGER NOT NULL DEFAULT 0,
    answered_at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, device_id)
) STRICT;
