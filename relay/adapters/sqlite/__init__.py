"""The store of a relay on one machine: SQLite in WAL mode, one writer behind a group commit, one reader."""
