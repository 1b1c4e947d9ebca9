"""A relay on PostgreSQL: the same ports as sqlite, written for many nodes at once."""
