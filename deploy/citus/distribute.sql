-- Spreads the tables of a relay over the nodes of a Citus cluster. Run it once on the coordinator, by psql, with all relays
-- stopped, when they have made their schema: psql -v ON_ERROR_STOP=1 -f distribute.sql "$URL"
--
-- Three groups. What is about an account is spread by it; what is about a device, its mailbox first of all, by the device;
-- ciphertexts of many recipients by themselves. Tables of a group that have equal keys lie on the same node. The rest is
-- small, or ordered as a whole (the two logs), and stays on the coordinator.

BEGIN;

SELECT create_distributed_table('accounts', 'account_id', colocate_with => 'none');
SELECT create_distributed_table('manifests', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('devices', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('delivery_tokens', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('account_deletions', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('holds', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('held_envelopes', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('profiles', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('guests', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('guest_hosts', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('account_logs', 'account_id', colocate_with => 'accounts');
SELECT create_distributed_table('account_log_entries', 'account_id', colocate_with => 'accounts');

SELECT create_distributed_table('device_owners', 'device_id', colocate_with => 'none');
SELECT create_distributed_table('nonces', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('prekeys', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('prekey_heights', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('push_registrations', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('push_wakeups', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('mailboxes', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('envelopes', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('records', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('settled_marks', 'device_id', colocate_with => 'device_owners');
SELECT create_distributed_table('missed', 'device_id', colocate_with => 'device_owners');

SELECT create_distributed_table('shared_ciphertexts', 'shared_id', colocate_with => 'none');
SELECT create_distributed_table('shared_waiting', 'shared_id', colocate_with => 'shared_ciphertexts');

COMMIT;
