"""The encrypted store of one account: SQLCipher, one writing thread, numbered migrations."""
