-- Devices that have the message of an envelope already, from an earlier one: they get no further copy.

ALTER TABLE outbox ADD COLUMN except_devices BLOB NOT NULL DEFAULT x'';
