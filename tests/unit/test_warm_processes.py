"""A copy of a process that has imported everything acts as the command itself (tests/warm)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.relay_process import serving
from tests.warm.commands import copy_of, program


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tokenim", ["--version"]),
        ("tokenim", ["send", "--help"]),
        ("tokenim", ["nonsense"]),
        ("tokenim-relay", ["invite", "create", "--data", "/proc/nowhere"]),
    ],
)
def test_it_says_and_ends_as_the_installed_command(name, arguments):
    installed = str(Path(sys.executable).with_name(name))
    told = [
        subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        for command in ([installed], program(name))
    ]
    assert told[0].stdout + told[0].stderr
    assert (told[0].returncode, told[0].stdout, told[0].stderr) == (
        told[1].returncode,
        told[1].stdout,
        told[1].stderr,
    )


def copies() -> set[psutil.Process]:
    """What the server of this process has forked."""
    return {
        copy
        for server in psutil.Process().children()
        if "tests.warm.server" in server.cmdline()
        for copy in server.children()
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_reaches_it_and_no_copy_is_left(number, tmp_path):
    program("tokenim-relay")
    before = copies()
    with serving(tmp_path / "data") as served:
        (copy,) = copies() - before
        code, _ = served.stop(number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    copy.wait(30)


def test_the_copy_behind_a_shadow_is_known_and_its_shadow_ends_as_it_ends(tmp_path):
    program("tokenim-relay")
    before = copies()
    with serving(tmp_path / "data") as served:
        (copy,) = copies() - before
        assert copy_of(served.process.pid) == copy.pid
        copy.kill()
        assert served.process.wait(30) == -signal.SIGKILL
        assert not copy.is_running()
    assert copy_of(os.getpid()) == os.getpid()
