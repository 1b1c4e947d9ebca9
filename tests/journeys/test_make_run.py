"""`make run` is the relay: its lines, its signals, its exit code."""

import os
import signal
import subprocess

import pytest

from tests.architecture.source import ROOT


def start(*arguments):
    """`make run`, as a person would, in a session of its own."""
    return subprocess.Popen(
        ["make", "--no-print-directory", "run", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until_ready(process):
    """The lines up to and with `ready URL`."""
    lines = []
    for line in process.stdout:
        lines.append(line.split())
        if lines[-1][:1] == ["ready"]:
            break
    return dict(line for line in lines if len(line) == 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to", ["make alone", "the whole group"])
def test_a_signal_stops_the_relay_and_the_exit_code_is_0(tmp_path, number, to):
    with start(f"DATA={tmp_path / 'data'}", "PORT=0") as process:
        try:
            said = read_until_ready(process)
            if to == "make alone":
                process.send_signal(number)
            else:
                os.killpg(process.pid, number)
            code = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert code == 0
    assert said["ready"].startswith("http://127.0.0.1:")
    assert said["invite"].startswith(said["ready"])


def test_a_second_start_keeps_the_data_and_the_unused_invite(tmp_path):
    invites = []
    for _ in range(2):
        with start(f"DATA={tmp_path / 'my data'}", "PORT=0") as process:
            invites.append(read_until_ready(process)["invite"].partition("#")[2])
            process.terminate()
    assert invites[0]
    assert invites[0] == invites[1]


def test_a_dry_run_shows_the_command_and_starts_nothing(tmp_path):
    done = subprocess.run(
        ["make", "-n", "run", f"DATA={tmp_path / 'data'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"--data '{tmp_path / 'data'}' --listen '127.0.0.1:8080'" in done.stdout
    assert not (tmp_path / "data").exists()
