"""A page of a sealed log, read by one statement: where the log stands and its entries, as of one moment."""

from relay.ports.sealed_logs import LogEntry, LogPage

from .database import Row


def page_statement(logs: str, entries: str, where: str, of_log: str) -> str:
    """Parameters: from which index, how many entries and bytes at most, then those of `where` (`g` is the log).

    `of_log`: when an entry `s` is of the log `g`.
    """
    return f"""
        SELECT g.first_index, g.next_index, e.entry_index, e.entry, e.at_ms
        FROM {logs} AS g LEFT JOIN LATERAL (
            SELECT entry_index, entry, at_ms FROM (
                SELECT s.entry_index, s.entry, s.at_ms, sum(length(s.entry)) OVER (ORDER BY s.entry_index) AS total
                FROM {entries} AS s WHERE {of_log} AND s.entry_index >= $1
                ORDER BY s.entry_index LIMIT $2) AS next
            WHERE total <= $3) AS e ON true
        WHERE {where} ORDER BY e.entry_index"""  # noqa: S608


def page_of(rows: list[Row]) -> LogPage | None:
    """The page in the rows of such a statement; None if no log fits."""
    if not rows:
        return None
    entries = tuple(LogEntry(row[2], row[3], row[4]) for row in rows if row[2] is not None)
    return LogPage(entries, first_index=rows[0][0], next_index=rows[0][1])
