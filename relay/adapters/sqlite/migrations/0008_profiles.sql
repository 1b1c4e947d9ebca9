-- What an account says of itself, sealed: one version for each account, the newest that its devices gave.

CREATE TABLE profiles (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,  -- whose
    version    INTEGER NOT NULL,                  -- 1, 2, 3 ... of its devices' choice; only grows
    sealed     BLOB NOT NULL                      -- opaque
) STRICT;
