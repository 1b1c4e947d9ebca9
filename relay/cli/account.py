"""`tokenim-relay account …` and `role …`: who is on this relay, who may do what, who is shut out for a while."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from .options import REFUSED, USAGE, Commands, config_option, data_option, fail, json_option
from .reach import run_command

_PAGE: Final = 500
_NOTHING: Final = "-"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@click.group(cls=Commands)
def account() -> None:
    """Who is on this relay. ACCOUNT is a handle, an id, or the beginning of an id (8 characters or more)."""


@click.group(cls=Commands)
def role() -> None:
    """Who may do what on this relay. ACCOUNT is a handle, an id, or the beginning of an id (8 characters or more)."""


def _about_one(command: Callable[..., None]) -> Callable[..., None]:
    """The argument and options of a command about one account."""
    for option in (json_option, config_option, data_option):
        command = option(command)
    return click.argument("named", metavar="ACCOUNT")(command)


def _pages(data: Path | None, config: Path | None, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        page = run_command(data, config, "account.list", {**wanted, "after": after, "limit": _PAGE})[
            "accounts"
        ]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1]["account"]


@account.command("list")
@click.option("--role", default="", metavar="ROLE", help="Only accounts with this role.")
@click.option(
    "--suspended/--not-suspended", default=None, help="Only accounts that are suspended, or are not."
)
@click.option("--handle", "begins", default="", metavar="BEGINNING", help="Only handles that begin so.")
@data_option
@config_option
@json_option
def account_list(
    role: str, suspended: bool | None, begins: str, data: Path | None, config: Path | None, as_json: bool
) -> None:
    """Print the accounts, in the order of their ids: handle, role, devices, what waits for them."""
    wanted = {"role": role, "suspended": suspended, "handle_begins": begins}
    for one in _pages(data, config, wanted):
        click.echo(json.dumps(one) if as_json else _line(one))


def _line(one: Mapping[str, Any]) -> str:
    created = _EPOCH + timedelta(milliseconds=one["created_at_ms"])
    seen = f"{_EPOCH + timedelta(days=one['seen_day']):%Y-%m-%d}" if one["seen_day"] else "never"
    devices = "1 device" if one["devices"] == 1 else f"{one['devices']} devices"
    waits = f"{one['envelopes']:,} waiting ({_size(one['envelope_bytes'])})"
    parts = [
        f"{one['handle'] or _NOTHING:32}",
        one["account"],
        f"{one['role']:9}",
        f"since {created:%Y-%m-%d}",
        f"seen {seen}",
        devices,
        waits,
        f"files {_size(one['blob_bytes'])}",
    ]
    return "  ".join([*parts, "SUSPENDED"] if one["suspended"] else parts)


def _size(count: int) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1_000:
            return f"{count:.0f} {unit}"
        count /= 1_000  # type: ignore[assignment]
    return f"{count:.1f} GB"


def _tell(done: Mapping[str, Any], words: str, as_json: bool) -> None:
    name = done["handle"] or done["account"]
    click.echo(json.dumps(done) if as_json else f"{name}: {words}")


@account.command("suspend")
@_about_one
def account_suspend(named: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Shut an account out: its connections end and it gets nothing, until it is resumed; what waits for it stays."""
    done = run_command(data, config, "account.suspend", {"account": named})
    _tell(done, "suspended; it gets nothing until `tokenim-relay account resume`", as_json)


@account.command("resume")
@_about_one
def account_resume(named: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Let an account in again that was suspended."""
    done = run_command(data, config, "account.resume", {"account": named})
    _tell(done, "resumed", as_json)


@account.command("delete")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_about_one
def account_delete(named: str, yes: bool, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Delete an account for ever: what waits for it, its files, its handle, what the audit log says of it."""
    if not yes:
        click.confirm(
            f"Delete {named} and all that waits for it? This cannot be undone", abort=True, err=True
        )
    done = run_command(data, config, "account.delete", {"account": named})
    held = done["held_until_ms"]
    words = "deleted" if held is None else "shut out; a hold keeps it, and it goes when that ends"
    _tell(done, words, as_json)


@account.command("export")
@click.argument("named", metavar="ACCOUNT")
@click.argument("file", type=click.Path(path_type=Path))
@data_option
@config_option
@json_option
def account_export(named: str, file: Path, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Write all that the relay holds about an account into the new FILE, as JSON. Nothing in it can be read as a message."""
    from relay.ports.exports import Section
    from relay.services.exports import Document

    begun = run_command(data, config, "account.export", {"account": named})
    document, count = Document(), 0
    after: str | None = ""

    def pieces() -> Iterator[str]:
        nonlocal count, after
        yield document.begin(begun["head"])
        while after is not None:
            asked = {"account": begun["account"], "after": after, "limit": _PAGE}
            page = run_command(data, config, "account.export_page", asked)
            count, after = count + len(page["rows"]), page["after"]
            yield document.rows((Section(section), row) for section, row in page["rows"])
        yield document.end()

    size = _write_new(file, pieces())
    done = {"account": begun["account"], "file": str(file), "bytes": size, "rows": count}
    click.echo(json.dumps(done) if as_json else f"wrote {file}: {count:,} rows, {_size(size)}")


def _write_new(file: Path, pieces: Iterator[str]) -> int:
    """How many bytes are in it now. What was begun and failed does not stay."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{file}: there is such a file already: choose another name", USAGE)
    except OSError as error:
        fail(f"{file}: cannot be written ({error.strerror})", REFUSED)
    try:
        with open(descriptor, "w", encoding="utf-8") as written:  # noqa: PTH123  (a descriptor, not a path)
            return sum(written.write(piece) for piece in pieces)  # JSON as it is written here is ASCII
    except BaseException as error:
        file.unlink()
        if isinstance(error, OSError):
            fail(f"{file}: cannot be written ({error.strerror})", REFUSED)
        raise


@role.command("list")
@click.option("--permissions", is_flag=True, help="Print the roles themselves, and what each may.")
@data_option
@config_option
@json_option
def role_list(permissions: bool, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print every account whose role is another than member; a role that is defined no more is marked."""
    from relay.services.roles import Role

    roles = run_command(data, config, "role.list", {})["roles"]
    if permissions:
        for one in roles:
            words = ", ".join(one["permissions"]) or "no permissions"
            plain = f"{one['role']:9}  {one['accounts']:,} accounts  {words}"
            click.echo(json.dumps(one) if as_json else plain)
        return
    for one in (each for each in roles if each["role"] != Role.MEMBER and each["accounts"]):
        for found in _pages(data, config, {"role": one["role"]}):
            told = {key: found[key] for key in ("account", "handle", "role", "suspended")}
            told["defined"] = one["defined"]
            gone = "" if one["defined"] else "  NOT DEFINED: it may do nothing"
            plain = f"{found['role']:9}  {found['handle'] or _NOTHING:32}  {found['account']}{gone}"
            click.echo(json.dumps(told) if as_json else plain)


@role.command("grant")
@click.argument("named", metavar="ACCOUNT")
@click.argument("wanted", metavar="ROLE")
@data_option
@config_option
@json_option
def role_grant(named: str, wanted: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Give an account a ROLE, in the place of the one it has."""
    done = run_command(data, config, "role.grant", {"account": named, "role": wanted})
    _tell(done, f"{done['role']} from now on", as_json)


@role.command("revoke")
@_about_one
def role_revoke(named: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Make an account a member like all others."""
    done = run_command(data, config, "role.revoke", {"account": named})
    _tell(done, "member from now on", as_json)
