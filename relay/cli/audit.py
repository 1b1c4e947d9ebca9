"""`tokenim-relay audit …`: who did what, whether anybody changed that by hand, and a copy of it for another place."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from .log_words import tell_head, tell_verdict
from .options import REFUSED, USAGE, Commands, config_option, data_option, fail, json_option, settings_of
from .reach import run_command

_PAGE_ROWS: Final = 500
_NOTHING: Final = "-"


@click.group(cls=Commands)
def audit() -> None:
    """The audit log: who did what, when, and what came of it; never what anybody wrote."""


@audit.command("show")
@data_option
@config_option
@click.option(
    "--since",
    metavar="TIME",
    help="Only from then on: 2026-11-26, 2026-11-26T08:30 (UTC), or like 30m, 12h, 7d.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The newest so many rows."
)
@json_option
def audit_show(data: Path | None, config: Path | None, since: str | None, limit: int, as_json: bool) -> None:
    """Print the newest rows, oldest first; on a running relay through its control socket."""
    since_ms = 0 if since is None else _since_ms(since)
    rows: list[dict[str, Any]] = []
    while len(rows) < limit:
        wanted = min(limit - len(rows), _PAGE_ROWS)
        arguments = {
            "since_ms": since_ms,
            "before": rows[-1]["row"] if rows else None,
            "limit": wanted,
        }
        page = run_command(data, config, "audit.list", arguments)["rows"]
        rows += page
        if len(page) < wanted:
            break
    for row in reversed(rows):
        click.echo(json.dumps(row) if as_json else _line(row))


def _since_ms(text: str) -> int:
    """Milliseconds since 1970; ends with USAGE for what is no time."""
    from relay.adapters.system_clock import SystemClock

    now_ms = SystemClock().now_ms()
    units = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
    if text[:-1].isascii() and text[:-1].isdigit() and text[-1] in units:
        return max(now_ms - int(text[:-1]) * units[text[-1]], 0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--since {text}: give a time like 2026-11-26, 2026-11-26T08:30, 30m, 12h or 7d", USAGE)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(int(moment.timestamp() * 1_000), 0)


def _line(row: Mapping[str, Any]) -> str:
    when = datetime.fromtimestamp(row["time_ms"] / 1_000, UTC)
    parts = (row["actor"], row["action"], row["subject"], row["detail"], row["outcome"])
    time = f"{when:%Y-%m-%d}         " if row["is_day"] else f"{when:%Y-%m-%d %H:%M:%S}"
    return f"{row['row']:>6}  {time}  " + "  ".join(part or _NOTHING for part in parts)


@audit.command("head")
@data_option
@config_option
@json_option
def audit_head(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print a head, signed now: as lines of a file in another place they show later whether the log was written anew."""
    tell_head(run_command(data, config, "audit.head", {}), as_json=as_json)


@audit.command("verify")
@data_option
@config_option
@click.option(
    "--heads",
    type=click.Path(path_type=Path),
    help="A file of heads that `audit head --json` printed, or the relay itself kept: the log must go through all of them.",
)
@click.option(
    "--exported", type=click.Path(path_type=Path), help="Verify this export in place of a data folder."
)
@json_option
def audit_verify(
    data: Path | None, config: Path | None, heads: Path | None, exported: Path | None, as_json: bool
) -> None:
    """Say whether a row was changed, removed or inserted, and which; a relay may run meanwhile."""
    from relay.adapters.data_folder import StartRefused
    from relay.log_files import verify_audit, verify_audit_export
    from relay.services.audit_records import read_heads
    from relay.wire.errors import MalformedRequest

    try:
        kept = [] if heads is None else read_heads(_text_of(heads))
    except MalformedRequest as error:
        fail(f"--heads {heads}: {error}", USAGE)
    try:
        if exported is not None:
            with _opened(exported).open(encoding="utf-8") as lines:
                verdict = verify_audit_export(lines, kept)
        else:
            verdict = verify_audit(settings_of(config, {"data": data}), kept)
    except StartRefused as error:
        fail(str(error), error.exit_code)
    except (MalformedRequest, UnicodeDecodeError) as error:
        fail(f"--exported {exported}: {error}", USAGE)
    faults = ((fault.row, fault.told) for fault in verdict.faults)
    tell_verdict("row", faults, verdict.rows, verdict.root, as_json=as_json)


def _opened(path: Path) -> Path:
    if not path.is_file():
        fail(f"{path}: there is no such file", USAGE)
    return path


def _text_of(path: Path) -> str:
    try:
        return _opened(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: cannot be read: {error}", USAGE)


@audit.command("export")
@data_option
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def audit_export(data: Path | None, config: Path | None, as_json: bool, file: Path) -> None:
    """Write the whole log to a new FILE, as JSON lines that can be verified elsewhere; a relay may run meanwhile."""
    from relay.adapters.data_folder import StartRefused
    from relay.log_files import export_audit

    try:
        rows = export_audit(settings_of(config, {"data": data}), file)
    except FileExistsError:
        fail(f"{file}: there is such a file already: choose another name", USAGE)
    except OSError as error:
        fail(f"{file}: cannot be written: {error.strerror}", REFUSED)
    except StartRefused as error:
        fail(str(error), error.exit_code)
    told = {"file": str(file.absolute()), "rows": rows}
    click.echo(json.dumps(told) if as_json else f"{rows} rows in {file}")
