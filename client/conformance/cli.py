"""`tokenim-conformance`: the command."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from .case import CLIENT_LEVELS, RELAY_LEVELS
from .report import Failed, NotReady, Result, closing_line, unclaimed_lines, write_json

USAGE: Final = 2
JOBS: Final = min(8, 2 * (os.cpu_count() or 1))
"""So many cases of clients at once: half of their time they wait."""
PATIENCE_SECONDS: Final = 60.0
"""So long a slow machine may take for what has to come."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Whether a relay, or a client, does what the TokenIM protocol says."""


@main.command()
@click.argument("url", required=False)
@click.option("--invite", metavar="LINK", help="An invite for members with uses to spare: a few hundred.")
@click.option("--admin", metavar="URL", default="", help="Its operators' listener: for the level operator.")
@click.option("--admin-invite", metavar="LINK", help="An invite with the role admin and uses to spare.")
@click.option(
    "--web-origin", metavar="ORIGIN", default="", help="Of web pages that its operator lets in (CORS)."
)
@click.option(
    "--level", "levels", multiple=True, type=click.Choice(RELAY_LEVELS), help="Only this level; repeatable."
)
@click.option("--case", "only", multiple=True, metavar="ID", help="Only this case; repeatable.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the report into this file, too.")
@click.option("--list", "listed", is_flag=True, help="Print the cases, and run none.")
def relay(
    url: str | None,
    invite: str | None,
    admin: str,
    admin_invite: str | None,
    web_origin: str,
    levels: tuple[str, ...],
    only: tuple[str, ...],
    file: Path | None,
    listed: bool,
) -> None:
    """Try the relay at URL from outside. It gets accounts by the invite, and they stay: use one that is for tests."""
    from .cases import SUITE
    from .relay import parse_invite
    from .relay_suite import run_relay

    if listed:
        for case in SUITE.cases.values():
            click.echo(f"{case.level:<9} {case.case_id:<44} {case.about}")
        return
    if unknown := set(only) - SUITE.cases.keys():
        _fail(f"there is no case {', '.join(sorted(unknown))}: --list prints them")
    if url is None or invite is None:
        _fail("URL and --invite are needed (see `tokenim-conformance relay --help`)")
    try:
        parsed = parse_invite(invite)
        parsed_admin = None if admin_invite is None else parse_invite(admin_invite)
    except ValueError as error:
        _fail(str(error))
    if parsed.origin != url.rstrip("/"):
        _fail(f"the invite is of {parsed.origin}, not of {url}")
    try:
        results = asyncio.run(
            run_relay(
                parsed,
                _tell,
                admin=admin.rstrip("/"),
                admin_invite=parsed_admin,
                web_origin=web_origin.rstrip("/"),
                levels=levels,
                only=only,
            )
        )
    except (Failed, NotReady) as failure:
        _fail(str(failure))
    _end(results, url, file)


@main.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.Choice(CLIENT_LEVELS),
    help="The client claims this beside core; repeatable.",
)
@click.option("--case", "only", multiple=True, metavar="ID", help="Only this case; repeatable.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=JOBS,
    show_default=True,
    help="So many cases at once, each with a relay and clients of its own.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=PATIENCE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="So long the client may take to show what it has to, and twice that for a command.",
)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the report into this file, too.")
@click.option("--list", "listed", is_flag=True, help="Print the cases, and run none.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def client(
    levels: tuple[str, ...],
    only: tuple[str, ...],
    jobs: int,
    patience: float,
    file: Path | None,
    listed: bool,
    command: tuple[str, ...],
) -> None:
    """Try the client behind COMMAND, an adapter that takes commands as lines of JSON, at a scripted relay on this machine."""
    from .client_suite.cases import CLIENT_SUITE
    from .client_suite.suite import run_client

    if listed:
        for case in CLIENT_SUITE.cases.values():
            click.echo(f"{case.level:<9} {case.case_id:<44} {case.about}")
        return
    if unknown := set(only) - CLIENT_SUITE.cases.keys():
        _fail(f"there is no case {', '.join(sorted(unknown))}: --list prints them")
    if not command:
        _fail("the adapter's COMMAND is needed, behind -- (see `tokenim-conformance client --help`)")
    _end(
        asyncio.run(run_client(command, _tell, only, levels, jobs, patience_seconds=patience)),
        " ".join(command),
        file,
    )


def _tell(result: Result) -> None:
    if result.outcome != "not claimed":
        click.echo(result.line())


def _end(results: list[Result], of: str, file: Path | None) -> NoReturn:
    if file is not None:
        write_json(results, of, file)
    for line in (*unclaimed_lines(results), closing_line(results)):
        click.echo(line)
    sys.exit(any(result.outcome == "failed" for result in results))


def _fail(line: str) -> NoReturn:
    click.echo(f"tokenim-conformance: {line}", err=True)
    sys.exit(USAGE)
