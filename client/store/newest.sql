-- What the migrations leave, for a new store. Made from them: python -m tests.upgrades.client_schema
CREATE TABLE account (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    origin TEXT NOT NULL,
    relay_key BLOB NOT NULL,
    root_seed BLOB,
    device_id BLOB NOT NULL,
    signing_seed BLOB NOT NULL,
    identity_seed BLOB NOT NULL,
    chain BLOB NOT NULL,
    handle TEXT,
    role TEXT NOT NULL,
    registered INTEGER NOT NULL
, recovery_key BLOB) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE tokens (class TEXT PRIMARY KEY, token BLOB NOT NULL, registered INTEGER NOT NULL) STRICT;
CREATE TABLE prekeys (
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    class INTEGER NOT NULL,
    made_at_ms INTEGER NOT NULL,
    seed BLOB NOT NULL,
    uploaded INTEGER NOT NULL,
    retired_at_ms INTEGER,
    PRIMARY KEY (kind, id)
) STRICT;
CREATE TABLE peers (
    account_id BLOB PRIMARY KEY,
    chain BLOB,
    handle TEXT UNIQUE,
    claimed TEXT,
    token BLOB,
    token_class TEXT,
    accepted INTEGER NOT NULL DEFAULT 0,
    heard_since_send INTEGER NOT NULL DEFAULT 0,
    received_since_send INTEGER NOT NULL DEFAULT 0,
    last_sent_at_ms INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 0,
    fork BLOB
, devices BLOB, version INTEGER NOT NULL DEFAULT 0, blocked INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, tell_token INTEGER NOT NULL DEFAULT 0, token_told_at_ms INTEGER NOT NULL DEFAULT 0, backup BLOB) STRICT;
CREATE TABLE sessions (
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    state BLOB NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, device_id)
) STRICT;
CREATE TABLE conversations (
    id BLOB PRIMARY KEY,
    account_id BLOB NOT NULL,
    own_counter INTEGER NOT NULL DEFAULT 0,
    own_hash BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE TABLE counters (
    conversation_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (conversation_id, device_id)
) STRICT;
CREATE TABLE absent (
    conversation_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0, asked INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, device_id, counter)
) STRICT;
CREATE INDEX absent_untold ON absent (told) WHERE told = 0;
CREATE TABLE messages (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id BLOB,
    message_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    outgoing INTEGER NOT NULL,
    type INTEGER NOT NULL,
    body BLOB NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER,
    state TEXT NOT NULL,
    refusal TEXT,
    given INTEGER NOT NULL,
    file_path TEXT,
    file_sha256 BLOB
, device_id BLOB, counter INTEGER, place INTEGER, hidden INTEGER NOT NULL DEFAULT 0, content_hash BLOB, acted INTEGER NOT NULL DEFAULT 0, deleted_at_ms INTEGER, deleted_by BLOB, expires_after_seconds INTEGER NOT NULL DEFAULT 0, expires_at_ms INTEGER, archived_index INTEGER NOT NULL DEFAULT -1, acted_at_ms INTEGER NOT NULL DEFAULT 0, order_ms INTEGER) STRICT;
CREATE UNIQUE INDEX messages_once ON messages (account_id, message_id);
CREATE INDEX messages_not_given ON messages (n) WHERE given = 0;
CREATE TABLE drafts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    message_n INTEGER NOT NULL REFERENCES messages (n),
    recipient TEXT NOT NULL,
    account_id BLOB,
    content BLOB,
    except_devices BLOB NOT NULL
, only_devices BLOB, is_group INTEGER NOT NULL DEFAULT 0, is_stuck INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX drafts_of_message ON drafts (message_n);
CREATE TABLE uploads (
    message_n INTEGER PRIMARY KEY REFERENCES messages (n),
    spool TEXT NOT NULL,
    length INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    location TEXT
) STRICT;
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL UNIQUE,
    message_n INTEGER NOT NULL REFERENCES messages (n),
    account_id BLOB NOT NULL,
    content BLOB NOT NULL,
    targets BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL
, except_devices BLOB NOT NULL DEFAULT x'', only_devices BLOB, is_group INTEGER NOT NULL DEFAULT 0, is_stuck INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX outbox_of_message ON outbox (message_n);
CREATE TABLE unopened (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL,
    received_at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE TABLE "notices" (n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE left_out (
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, device_id)
) STRICT;
CREATE INDEX messages_counted ON messages (conversation_id, device_id, counter) WHERE device_id IS NOT NULL;
CREATE INDEX messages_in_place ON messages (conversation_id, coalesce(place, n), coalesce(counter, 0), n);
CREATE INDEX messages_hidden ON messages (n) WHERE hidden = 1;
CREATE TABLE group_invites (
    secret_hash BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    token BLOB,
    role INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    for_account BLOB,
    asks INTEGER NOT NULL
) STRICT;
CREATE INDEX group_invites_of_group ON group_invites (group_id);
CREATE TABLE group_invite_uses (
    secret_hash BLOB NOT NULL,
    account_id BLOB NOT NULL, shut INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (secret_hash, account_id)
) STRICT;
CREATE TABLE group_waiting (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    manifest_version INTEGER NOT NULL,
    wants INTEGER NOT NULL,
    role INTEGER NOT NULL,
    asked_at_ms INTEGER NOT NULL, comes_back INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE TABLE group_joins (
    group_id BLOB PRIMARY KEY,
    inviter BLOB NOT NULL,
    secret BLOB NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE reactions (
    message_n INTEGER NOT NULL REFERENCES messages (n) ON DELETE CASCADE,
    account_id BLOB NOT NULL,
    act_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (message_n, account_id)
) STRICT;
CREATE TABLE edits (
    message_n INTEGER NOT NULL REFERENCES messages (n) ON DELETE CASCADE,
    at_ms INTEGER NOT NULL,
    act_id BLOB NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (message_n, at_ms, act_id)
) STRICT;
CREATE TABLE receipts (
    message_n INTEGER NOT NULL REFERENCES messages (n) ON DELETE CASCADE,
    account_id BLOB NOT NULL,
    delivered_at_ms INTEGER,
    read_at_ms INTEGER,
    PRIMARY KEY (message_n, account_id)
) STRICT;
CREATE TABLE waiting_acts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    target_account BLOB NOT NULL,
    message_id BLOB NOT NULL,
    reference BLOB NOT NULL,
    conversation_id BLOB,
    actor BLOB NOT NULL,
    act_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    text TEXT
) STRICT;
CREATE INDEX waiting_acts_by_target ON waiting_acts (target_account, message_id);
CREATE INDEX waiting_acts_by_actor ON waiting_acts (actor, n);
CREATE TABLE shared_items (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    device_id BLOB NOT NULL
) STRICT;
CREATE TABLE to_share (key TEXT PRIMARY KEY) STRICT;
CREATE TABLE hand_overs (device_id BLOB PRIMARY KEY, given_at_ms INTEGER, history_due INTEGER NOT NULL) STRICT;
CREATE TABLE answered_links (request_hash BLOB PRIMARY KEY, scanned_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE joining (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    origin TEXT NOT NULL,
    relay_key BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    signing_seed BLOB NOT NULL,
    identity_seed BLOB NOT NULL,
    manager_id BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE groups (
    id BLOB PRIMARY KEY,
    status TEXT NOT NULL,
    view BLOB NOT NULL,
    sending BLOB,
    checked BLOB NOT NULL DEFAULT x'',
    due_at_ms INTEGER NOT NULL,
    read_at_ms INTEGER NOT NULL DEFAULT 0,
    missing_since_ms INTEGER,
    secret_at_ms INTEGER NOT NULL DEFAULT 0,
    cut_read_at_ms INTEGER NOT NULL DEFAULT 0,
    cut_is_own INTEGER NOT NULL DEFAULT 0,
    asked_at_ms INTEGER NOT NULL DEFAULT 0,
    list_told INTEGER NOT NULL DEFAULT 0,
    read_token BLOB NOT NULL DEFAULT x'', left_since INTEGER NOT NULL DEFAULT 0, told_entry BLOB NOT NULL DEFAULT x'') STRICT;
CREATE INDEX groups_due ON groups (due_at_ms);
CREATE TABLE group_members (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    hears INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX group_members_of_account ON group_members (account_id);
CREATE TABLE group_senders (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) STRICT;
CREATE TABLE group_given (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    devices BLOB NOT NULL,
    message_n INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE TABLE group_held (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB,
    device_id BLOB,
    chain_id BLOB,
    digest BLOB NOT NULL UNIQUE,
    envelope BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    held_at_ms INTEGER NOT NULL,
    asked_at_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX group_held_of_group ON group_held (group_id, chain_id);
CREATE TABLE group_parked (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    type INTEGER NOT NULL,
    body BLOB NOT NULL,
    parked_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX group_parked_of_group ON group_parked (group_id);
CREATE TABLE group_tokens (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    token BLOB NOT NULL, is_gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX group_tokens_of_account ON group_tokens (account_id);
CREATE TABLE group_own_tokens (
    group_id BLOB PRIMARY KEY,
    token BLOB NOT NULL,
    registered INTEGER NOT NULL
, rotate_at_ms INTEGER, next_token BLOB, made_here INTEGER NOT NULL DEFAULT 1, rotate_asked_ms INTEGER NOT NULL DEFAULT 0, to_tell INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE group_wants (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id BLOB NOT NULL,
    change BLOB NOT NULL,
    not_before_ms INTEGER NOT NULL,
    refusal TEXT
) STRICT;
CREATE INDEX group_wants_of_group ON group_wants (group_id);
CREATE TABLE group_proposals (
    group_id BLOB PRIMARY KEY,
    stage TEXT NOT NULL,
    entry_index INTEGER NOT NULL,
    entry BLOB NOT NULL,
    hand_out BLOB,
    newcomers BLOB NOT NULL,
    removed BLOB NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL DEFAULT x''
, raised BLOB NOT NULL DEFAULT x'') STRICT;
CREATE TABLE group_answers (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    lacks INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id, lacks)
) STRICT;
CREATE TABLE log_heads (
    log_id BLOB PRIMARY KEY,
    head BLOB NOT NULL,
    first_ms INTEGER NOT NULL,
    place INTEGER NOT NULL UNIQUE
) STRICT;
CREATE TABLE log_unconnected (
    source BLOB NOT NULL,
    head BLOB NOT NULL,
    since_ms INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, head)
) STRICT;
CREATE TABLE log_own_proof (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    manifest_hash BLOB NOT NULL,
    proof BLOB NOT NULL
) STRICT;
CREATE TABLE gossip_told (account_id BLOB PRIMARY KEY, told BLOB NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE gossip_claims (
    about BLOB NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    source BLOB NOT NULL,
    PRIMARY KEY (about, version, hash, source)
) STRICT;
CREATE TABLE evidence_wanted (
    source BLOB NOT NULL,
    about BLOB NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, about, version, hash)
) STRICT;
CREATE TABLE evidence_shown (
    account_id BLOB NOT NULL,
    about BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (account_id, about, version)
) STRICT;
CREATE TABLE evidence (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    account_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    known BLOB NOT NULL,
    other BLOB NOT NULL,
    UNIQUE (kind, account_id, known, other)
) STRICT;
CREATE TABLE own_manifests_made (hash BLOB PRIMARY KEY) STRICT;
CREATE TABLE spare_tokens (
    account_id BLOB NOT NULL,
    class TEXT NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (account_id, class)
) STRICT;
CREATE TABLE next_tokens (class TEXT PRIMARY KEY, token BLOB NOT NULL) STRICT;
CREATE TABLE retired_tokens (
    token_hash BLOB PRIMARY KEY,
    class TEXT NOT NULL,
    signal_n INTEGER,
    since_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE receipts_due (
    message_n INTEGER PRIMARY KEY REFERENCES messages (n) ON DELETE CASCADE,
    account_id BLOB NOT NULL,
    is_read INTEGER NOT NULL
) STRICT;
CREATE INDEX receipts_due_to ON receipts_due (account_id);
CREATE TABLE receipt_times (
    account_id BLOB PRIMARY KEY,
    due_at_ms INTEGER,
    sent_at_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX messages_expiring ON messages (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE expired (
    account_id BLOB NOT NULL,
    message_id BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, message_id)
) STRICT;
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
CREATE TABLE resend_times (
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    asked_at_ms INTEGER NOT NULL DEFAULT 0,
    answered_at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, device_id)
) STRICT;
CREATE TABLE restoring (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    origin TEXT NOT NULL,
    account_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    signing_seed BLOB NOT NULL,
    identity_seed BLOB NOT NULL
) STRICT;
CREATE TRIGGER peers_made AFTER INSERT ON peers BEGIN
    INSERT INTO to_share (key) SELECT 'contact/' || lower(hex(new.account_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'contact/' || lower(hex(new.account_id)));
END;
CREATE TRIGGER peers_changed AFTER UPDATE OF handle, claimed, token, token_class, accepted, blocked ON peers
WHEN old.handle IS NOT new.handle OR old.claimed IS NOT new.claimed OR old.token IS NOT new.token
    OR old.token_class IS NOT new.token_class OR old.accepted IS NOT new.accepted OR old.blocked IS NOT new.blocked
BEGIN
    INSERT INTO to_share (key) SELECT 'contact/' || lower(hex(new.account_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'contact/' || lower(hex(new.account_id)));
END;
CREATE TRIGGER tokens_made AFTER INSERT ON tokens BEGIN
    INSERT INTO to_share (key) SELECT 'token/' || new.class
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'token/' || new.class);
END;
CREATE TRIGGER tokens_changed AFTER UPDATE ON tokens
WHEN old.token IS NOT new.token OR old.registered IS NOT new.registered
BEGIN
    INSERT INTO to_share (key) SELECT 'token/' || new.class
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'token/' || new.class);
END;
CREATE TABLE group_added (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    by_account BLOB NOT NULL,
    by_device BLOB NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX group_added_by ON group_added (group_id, by_account, by_device);
CREATE TABLE group_returns (
    group_id BLOB PRIMARY KEY,
    since INTEGER NOT NULL,
    is_out INTEGER NOT NULL DEFAULT 0,
    noted_at_ms INTEGER NOT NULL DEFAULT 0,
    asked_at_ms INTEGER NOT NULL DEFAULT 0,
    times_asked INTEGER NOT NULL DEFAULT 0,
    told INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE group_ended_tokens (token BLOB PRIMARY KEY, ends_at_ms INTEGER NOT NULL) STRICT;
CREATE TRIGGER group_made AFTER INSERT ON groups BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.id)));
END;
CREATE TRIGGER group_changed AFTER UPDATE OF status, left_since ON groups
WHEN old.status IS NOT new.status OR old.left_since IS NOT new.left_since
BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.id)));
END;
CREATE TRIGGER group_own_token_made AFTER INSERT ON group_own_tokens BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TRIGGER group_own_token_changed AFTER UPDATE OF token, registered ON group_own_tokens
WHEN old.token IS NOT new.token OR old.registered IS NOT new.registered
BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TRIGGER group_token_made AFTER INSERT ON group_tokens BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TRIGGER group_token_changed AFTER UPDATE OF token ON group_tokens WHEN old.token IS NOT new.token BEGIN
    INSERT INTO to_share (key) SELECT 'group/' || lower(hex(new.group_id))
    WHERE NOT EXISTS (SELECT 1 FROM to_share WHERE key = 'group/' || lower(hex(new.group_id)));
END;
CREATE TABLE group_welcomes (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT;
CREATE INDEX peers_stale ON peers (account_id) WHERE stale = 1;
CREATE TABLE restored (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    counter INTEGER NOT NULL, -- 0: the relay had none
    made_at_ms INTEGER NOT NULL,
    head BLOB NOT NULL, -- signed; empty if there was none
    at_ms INTEGER NOT NULL,
    heard INTEGER NOT NULL -- the highest counter of those that were heard of
) STRICT;
CREATE TABLE reads_to_share (
    message_n INTEGER PRIMARY KEY REFERENCES messages (n) ON DELETE CASCADE
) STRICT;
CREATE INDEX messages_to_archive ON messages (archived_index, n) WHERE hidden = 0 AND expires_after_seconds = 0;
CREATE INDEX messages_in_time ON messages (conversation_id, coalesce(order_ms, received_at_ms, sent_at_ms)) WHERE hidden = 0;
CREATE TABLE history_keys (key BLOB PRIMARY KEY, made_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE history_log (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    next_index INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    begins_at INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    rewriting_from INTEGER,
    rewritten_at_ms INTEGER NOT NULL,
    emptied INTEGER NOT NULL DEFAULT 0,
    lacks_key INTEGER NOT NULL DEFAULT 0,
    restored INTEGER NOT NULL DEFAULT 0,
    newest_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE own_appends (
    log_id     BLOB NOT NULL,
    log_index  INTEGER NOT NULL,  -- 0: the log was made with it
    request    BLOB NOT NULL,     -- JSON, as it was sent
    sent_at_ms INTEGER NOT NULL,
    PRIMARY KEY (log_id, log_index)
) STRICT;
CREATE INDEX own_appends_by_time ON own_appends (sent_at_ms);
