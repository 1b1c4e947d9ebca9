-- What operators need: who may register, accounts that end, roles, keys at rest, figures, retention.

-- Registration: policies, guests, proof of work.

-- Accounts: suspension, deletion, profiles, reserved handles.

-- Roles.

-- Encryption at rest.

-- Figures by day.

-- Retention and holds.
