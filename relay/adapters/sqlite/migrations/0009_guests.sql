-- Invites that accounts make, guests who write to the accounts that their link names and go after a while, and handles that
-- operators keep back. Two indices for the lists of operators.

ALTER TABLE invites ADD COLUMN made_by BLOB REFERENCES accounts ON DELETE CASCADE;  -- the account that made it; NULL: an operator
ALTER TABLE invites ADD COLUMN stay_seconds INTEGER;                                -- of a guest: how long its account lives

CREATE INDEX invites_by_maker ON invites (made_by) WHERE made_by IS NOT NULL;

-- Whom the guests of an invite may write to.
CREATE TABLE invite_hosts (
    secret_hash BLOB NOT NULL REFERENCES invites ON DELETE CASCADE,   -- of the invite
    host_id     BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- an account
    PRIMARY KEY (secret_hash, host_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_hosts_by_host ON invite_hosts (host_id);

CREATE TABLE guests (
    account_id    BLOB NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,  -- the guest
    expires_at_ms INTEGER NOT NULL                                                  -- then the account is deleted
) STRICT, WITHOUT ROWID;

CREATE INDEX guests_by_end ON guests (expires_at_ms);

CREATE TABLE guest_hosts (
    account_id BLOB NOT NULL REFERENCES guests ON DELETE CASCADE,    -- the guest
    host_id    BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,  -- whom it may write to
    PRIMARY KEY (account_id, host_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX guest_hosts_by_host ON guest_hosts (host_id);

-- Handles that nobody gets, or one account alone.
CREATE TABLE reserved_handles (
    handle     TEXT NOT NULL PRIMARY KEY,              -- as people write it
    account_id BLOB REFERENCES accounts ON DELETE CASCADE  -- who may take it; NULL: nobody
) STRICT, WITHOUT ROWID;

CREATE INDEX reserved_handles_by_account ON reserved_handles (account_id) WHERE account_id IS NOT NULL;

CREATE INDEX accounts_by_role ON accounts (role, account_id);
CREATE INDEX accounts_suspended ON accounts (account_id) WHERE suspended = 1;
