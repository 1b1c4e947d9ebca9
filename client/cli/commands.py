"""The commands of `tokenim` and their options; docs/scripts.md says what scripts may rely on.

The library is imported when a command runs, so that `--help` answers at once.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from .account_commands import account
from .contact import contact
from .device_commands import device, link
from .evidence_command import evidence
from .group_commands import group
from .history_commands import history_archive
from .invite_commands import invite
from .output import Output, tell_connection
from .place import Place
from .profile_commands import profile
from .recovery_commands import recovery
from .run import Commands, json_option, run

DEFAULT_HOME = Path("~/.tokenim/default")


def _first_line(path: Path | None, what: str) -> str | None:
    """Of a file with a secret: nobody else may be able to read it."""
    if path is None:
        return None
    if path.is_file() and path.stat().st_mode & 0o077:
        raise click.UsageError(f"others can read {path}: chmod 600 it")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the {what} file {path} cannot be read: {error}") from error
    if not lines or not lines[0]:
        raise click.UsageError(f"the {what} file {path} is empty: its first line is the {what}")
    return lines[0]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tokenim", message="%(version)s")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_HOME,
    show_default=True,
    help="The folder of the account: one account a folder.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=False, path_type=Path),
    help="File (mode 0600) whose first line is the passphrase of the store. Given to `register`, it wraps the key.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Tell on standard error when the relay is lost and found."
)
@click.option("--traceback", is_flag=True, help="On a failure show where in the program it happened.")
@click.pass_context
def tokenim(
    context: click.Context, home: Path, passphrase_file: Path | None, verbose: bool, traceback: bool
) -> None:
    """Messages that the relay cannot read.

    Exit status: 0 done, 1 refused (the code is on standard error), 2 wrong usage, 3 the relay was not reached
    (what was to be sent stays in the outbox and goes out with the next call that reaches it).
    """
    if verbose:
        tell_connection()
    context.obj = Place(home.expanduser(), _first_line(passphrase_file, "passphrase"), traceback)


@tokenim.command()
@click.argument("link")
@click.option("--handle", metavar="NAME", help="A name by which others find this account.")
@json_option
@click.pass_obj
def register(place: Place, link: str, handle: str | None, as_json: bool) -> None:
    """Make an account from the invite LINK, or at the address of a relay that is open.

    `-` reads it from standard input, so that no process list shows it. An open relay wants a proof of work: it takes a while.
    """
    from . import work

    invite = sys.stdin.readline() if link == "-" else link
    out = Output(as_json)
    run(place, out, work.register(place, out, invite.strip(), handle))


@tokenim.command()
@click.option(
    "--link", is_flag=True, help="Also print the contact link, by which others can write to this account."
)
@json_option
@click.pass_obj
def whoami(place: Place, link: bool, as_json: bool) -> None:
    """Tell which account this folder holds."""
    from . import work

    out = Output(as_json)
    run(place, out, work.whoami(place, out, with_link=link))


@tokenim.command()
@click.argument("to")
@click.argument("text", required=False)
@click.option("--each-line", is_flag=True, help="Send each line of standard input as a message of its own.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Send this file.",
)
@click.option(
    "--patience",
    "patience_seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to try to reach the relay.",
)
@json_option
@click.pass_obj
def send(
    place: Place,
    to: str,
    text: str | None,
    each_line: bool,
    path: Path | None,
    patience_seconds: float,
    as_json: bool,
) -> None:
    """Send TEXT, the lines of standard input, or a file TO a handle, contact link, account id, or `group:` with a name or id.

    Returns when the relay has it durably. Empty lines of standard input are left out.
    """
    from . import work

    if (text is not None) + each_line + (path is not None) != 1:
        raise click.UsageError("give one of: TEXT, --each-line, --file PATH")
    out = Output(as_json)
    if each_line:
        todo = work.send_lines(place, out, to, patience_seconds)
    elif path is not None:
        todo = work.send_file(place, out, to, path, patience_seconds)
    else:
        todo = work.send_text(place, out, to, text or "", patience_seconds)
    run(place, out, todo)


@tokenim.command()
@click.option("--until-caught-up", is_flag=True, help="Stop when everything that waited is here.")
@click.option("--own", is_flag=True, help="Also print what other devices of this account sent.")
@click.option(
    "--events",
    is_flag=True,
    help="With --json, also print receipts, typing, presence, and an object `caught_up` when it happens.",
)
@click.option(
    "--patience",
    "patience_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up after this long without a connection [default: 30 with --until-caught-up, else never].",
)
@click.option(
    "--wake",
    type=click.Choice(["unifiedpush", "webhook"]),
    help="Have no connection to the relay while nothing comes: it tells by a push server, or by a request to this machine.",
)
@click.option(
    "--wake-server",
    metavar="URL",
    help="With --wake unifiedpush: a push server that has a stream as ntfy has, as in https://ntfy.example.",
)
@click.option(
    "--wake-token-file",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="With --wake unifiedpush: the access token in its first line lets this device read there.",
)
@click.option(
    "--wake-listen",
    metavar="HOST:PORT",
    help="With --wake webhook: where to take that request [default: 127.0.0.1:0].",
)
@click.option(
    "--wake-url",
    metavar="URL",
    help="With --wake webhook: how the relay reaches that place [default: http://HOST:PORT].",
)
@json_option
@click.pass_obj
def listen(
    place: Place,
    until_caught_up: bool,
    own: bool,
    events: bool,
    patience_seconds: float | None,
    wake: str | None,
    wake_server: str | None,
    wake_token_file: Path | None,
    wake_listen: str | None,
    wake_url: str | None,
    as_json: bool,
) -> None:
    """Print messages as they come, each once; files are fetched and their path printed. Ctrl-C stops."""
    from . import listening

    out = Output(as_json)
    _only_with(wake, "unifiedpush", {"--wake-server": wake_server, "--wake-token-file": wake_token_file})
    _only_with(wake, "webhook", {"--wake-listen": wake_listen, "--wake-url": wake_url})
    if wake is None:
        run(
            place,
            out,
            listening.listen(place, out, until_caught_up, patience_seconds, events=events, own=own),
        )
        return
    if until_caught_up:
        raise click.UsageError("--wake and --until-caught-up do not go together")
    if wake == "unifiedpush" and wake_server is None:
        raise click.UsageError("--wake unifiedpush needs --wake-server URL")
    from . import waking

    by = waking.WakeBy(wake_server, _first_line(wake_token_file, "token"), wake_listen, wake_url)
    run(place, out, listening.until_stopped(waking.listen(place, out, by, events=events, own=own)))


def _only_with(wake: str | None, kind: str, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None and wake != kind:
            raise click.UsageError(f"{name} goes with --wake {kind}")


@tokenim.command()
@click.argument("with_", metavar="WITH")
@click.option("--limit", type=click.IntRange(min=1), metavar="COUNT", help="Only the newest so many.")
@json_option
@click.pass_obj
def history(place: Place, with_: str, limit: int | None, as_json: bool) -> None:
    """Print the conversation WITH a handle, contact link or account id, oldest first."""
    from . import work

    out = Output(as_json)
    run(place, out, work.history(place, out, with_, limit))


@tokenim.command()
@click.argument("message", metavar="ID")
@click.argument("emoji")
@json_option
@click.pass_obj
def react(place: Place, message: str, emoji: str, as_json: bool) -> None:
    """Put EMOJI on the message ID, in the place of the own one before; an empty one takes it back."""
    from . import work

    out = Output(as_json)
    run(place, out, work.react(place, out, message, emoji))


@tokenim.command()
@click.argument("message", metavar="ID")
@click.argument("text")
@json_option
@click.pass_obj
def edit(place: Place, message: str, text: str, as_json: bool) -> None:
    """Change the own text message ID to TEXT, for everybody."""
    from . import work

    out = Output(as_json)
    run(place, out, work.edit(place, out, message, text))


@tokenim.command()
@click.argument("message", metavar="ID")
@json_option
@click.pass_obj
def delete(place: Place, message: str, as_json: bool) -> None:
    """Delete the own message ID for everybody: what it said goes, that there was one stays."""
    from . import work

    out = Output(as_json)
    run(place, out, work.delete(place, out, message))


@tokenim.command()
@click.argument("with_", metavar="WITH")
@json_option
@click.pass_obj
def verify(place: Place, with_: str, as_json: bool) -> None:
    """Show the safety number to compare WITH the other person: the same digits there mean that nobody stands between."""
    from . import work

    out = Output(as_json)
    run(place, out, work.verify(place, out, with_))


tokenim.add_command(account)
tokenim.add_command(contact)
tokenim.add_command(invite)
tokenim.add_command(profile)
tokenim.add_command(link)
tokenim.add_command(device)
tokenim.add_command(group)
tokenim.add_command(evidence)
tokenim.add_command(recovery)
tokenim.add_command(history_archive)


def main() -> None:
    """The entry point of the installed command."""
    tokenim(prog_name="tokenim")
