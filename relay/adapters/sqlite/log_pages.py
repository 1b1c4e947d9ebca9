"""A page of a sealed log, read by one statement: where the log stands and its entries, as of one moment."""

from relay.ports.sealed_logs import LogEntry, LogPage

from .writer import Row


def page_statement(logs: str, entries: str, where: str) -> str:
    """Parameters: from which index, how many entries and bytes at most, then those of `where` (`g` is the log)."""
    return f"""
        SELECT g.first_index, g.next_index, e.entry_index, e.entry, e.at_ms
        FROM {logs} AS g LEFT JOIN {entries} AS e
             ON e.log_number = g.log_number AND e.entry_index IN (
                 SELECT entry_index FROM (
                     SELECT s.entry_index, sum(length(s.entry)) OVER (ORDER BY s.entry_index) AS total
                     FROM {entries} AS s WHERE s.log_number = g.log_number AND s.entry_index >= ?
                     ORDER BY s.entry_index LIMIT ?)
                 WHERE total <= ?)
        WHERE {where} ORDER BY e.entry_index"""  # noqa: S608


def page_of(rows: list[Row]) -> LogPage | None:
    """The page in the rows of such a statement; None if no log fits."""
    if not rows:
        return None
    entries = tuple(LogEntry(*row[2:]) for row in rows if row[2] is not None)
    return LogPage(entries, first_index=rows[0][0], next_index=rows[0][1])
