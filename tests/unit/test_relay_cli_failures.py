"""However a command of the relay fails, it is one line on standard error, an object with `--json`."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from relay.cli.commands import main
from relay.cli.options import AllCommands


def run(*words, typed=None, group=main):
    done = CliRunner().invoke(group, words, input=typed)
    return done.exit_code, done.stderr.splitlines()[-1]


@pytest.fixture
def breaking(monkeypatch):
    """The group with a command `break`, which raises what it is given."""

    def group(error):
        @click.group(cls=AllCommands)
        @click.option("--traceback", is_flag=True)
        def commands(traceback):
            pass

        @commands.command("break")
        @click.option("--json", "as_json", is_flag=True)
        def break_(as_json):
            raise error

        return commands

    return group


def test_a_no_and_ctrl_c_are_told_like_every_failure(tmp_path):
    words = ("account", "delete", "bob", "--data", str(tmp_path))

    assert run(*words, typed="n\n") == (1, "tokenim-relay: interrupted: stopped before it was done")
    code, line = run(*words, "--json", typed="")
    assert (code, json.loads(line)) == (
        1,
        {"type": "error", "code": "interrupted", "detail": "stopped before it was done"},
    )


def test_what_nobody_foresaw_is_one_line_that_says_how_to_see_more(breaking):
    group = breaking(ValueError("there are no bees"))

    code, line = run("break", group=group)
    assert code == 1
    assert line.startswith("tokenim-relay: internal: ValueError: there are no bees; this is a defect")
    assert line.endswith("`tokenim-relay --traceback …` shows where")
    assert json.loads(run("break", "--json", group=group)[1])["code"] == "internal"
    with pytest.raises(ValueError, match="no bees"):
        CliRunner().invoke(group, ["--traceback", "break"], catch_exceptions=False)


def test_the_system_s_refusal_names_the_file(breaking):
    group = breaking(PermissionError(13, "Permission denied", "/etc/shadow"))

    assert run("break", group=group) == (1, "tokenim-relay: system: Permission denied: /etc/shadow")


def test_a_command_to_the_running_relay_loads_no_relay():
    program = (
        "import sys\nimport relay.cli.commands, relay.cli.reach, relay.config, relay.control.asking, relay.wire.errors\n"
        "import relay.adapters.data_folder\n"
        "heavy = ('aiohttp', 'nacl', 'cryptography', 'aiosqlite', 'relay.services', 'relay.commands')\n"
        "print('loaded', [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "loaded []\n"
