"""Moves all that a relay keeps from SQLite to PostgreSQL, or back: copied, then compared row by row, and only then switched."""
