-- Who was added in the present epoch by which device: if that device has left its account, they hear nothing until the next cut.

CREATE TABLE group_added (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    by_account BLOB NOT NULL,
    by_device BLOB NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX group_added_by ON group_added (group_id, by_account, by_device);
ALTER TABLE groups DROP COLUMN withheld;
