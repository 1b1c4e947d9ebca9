"""The ports made real: SQLite, memory, files, the system's clock. Nothing here decides who may do what."""
