-- Where devices are woken while they are not connected, and which wakeups are under way. No wakeup tells of what it is for.

CREATE TABLE push_registrations (
    device_id       BLOB NOT NULL PRIMARY KEY REFERENCES devices (device_id) ON DELETE CASCADE,  -- one for each device
    registration_id BLOB NOT NULL CHECK (length(registration_id) = 16),  -- random; another one each time that it registers
    kind            TEXT NOT NULL,                -- of the push service: web, unifiedpush, webhook, apns or fcm
    sealed          BLOB NOT NULL                 -- sealed: the service's address of the device, its keys, and the token of a wakeup
) STRICT;

-- The outbox: one wakeup for a device until it connects.
CREATE TABLE push_wakeups (
    device_id       BLOB NOT NULL PRIMARY KEY REFERENCES push_registrations ON DELETE CASCADE,  -- who is to be woken
    begun_at_ms     INTEGER NOT NULL,             -- when the first cause came
    due_at_ms       INTEGER NOT NULL,             -- of the next try
    attempts        INTEGER NOT NULL,             -- that failed
    urgent          INTEGER NOT NULL,             -- 1: for the service's own priority field
    sent_at_ms      INTEGER                       -- when the service took it; null: it did not yet
) STRICT;
