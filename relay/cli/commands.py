"""The group of all commands. A topic a file; what a command needs of the relay it imports when it runs."""

import click

from relay import __version__

from .account import account, role
from .audit import audit
from .backup import backup, restore, restored
from .config import config_group
from .dashboard import dashboard
from .doctor import doctor
from .handle import handle
from .invite import invite
from .keys import keys
from .migrate import migrate
from .options import AllCommands
from .push import push
from .retention import retention
from .serve import serve
from .transparency import transparency
from .usage import usage


@click.group(cls=AllCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tokenim-relay")
@click.option("--traceback", is_flag=True, help="On a failure show where in the program it happened.")
def main(traceback: bool) -> None:
    """An instant-messaging relay that cannot read what it carries."""


for _command in (
    serve,
    dashboard,
    account,
    role,
    invite,
    handle,
    audit,
    transparency,
    config_group,
    usage,
    retention,
    keys,
    push,
    backup,
    restore,
    restored,
    migrate,
    doctor,
):
    main.add_command(_command)
