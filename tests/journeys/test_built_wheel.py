"""What is built is what runs: the wheel has every file, and a relay starts from it in an environment with nothing else."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

import relay
from tests.architecture.source import PACKAGES, ROOT, name_of, tracked_files

UV = ROOT / ".tools" / "bin" / "uv"


def run(*command, **options):
    """Run a command that must succeed; what it says is shown when it does not."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("tokenim-*.whl")
    return built


@pytest.fixture(scope="module")
def empty_environment(wheel, tmp_path_factory):
    """An environment with the locked packages and the wheel: nothing of this checkout, nothing for development."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    python = venv / "bin" / "python"
    if UV.exists():
        run(UV, "venv", "--python", sys.executable, venv)
        install = [UV, "pip", "install", "--python", python]
    else:
        run(sys.executable, "-m", "venv", venv)
        install = [python, "-m", "pip", "install"]
    run(*install, "--require-hashes", "-r", ROOT / "requirements.lock")
    run(*install, "--no-deps", wheel)
    return venv


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = {name_of(path) for path in tracked_files()}
    assert packed == {name for name in tracked if name.split("/")[0] in PACKAGES}
    assert {f"{package}/py.typed" for package in PACKAGES} <= packed
    assert any(name.endswith(".sql") for name in packed)


def read_until_ready(relay):
    """What the relay says of itself until it is ready, as {"invite": …, "ready": …}."""
    said = {}
    for line in relay.stdout:
        word, _, rest = line.strip().partition(" ")
        said[word] = rest
        if word == "ready":
            break
    return said


@pytest.mark.timeout(180)  # installing from an empty cache takes its time
def test_a_relay_starts_from_the_wheel_answers_and_stops(empty_environment, tmp_path):
    command = [
        empty_environment / "bin" / "tokenim-relay",
        "serve",
        "--data",
        tmp_path / "data",
        "--listen",
        "127.0.0.1:0",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as relay:
        try:
            said = read_until_ready(relay)
            with urllib.request.urlopen(f"{said['ready']}/.well-known/tokenim", timeout=10) as answer:
                document = json.load(answer)
        finally:
            relay.send_signal(signal.SIGTERM)
    assert relay.returncode == 0
    assert said["invite"].startswith(document["origin"])
    assert document["limits"]["max_envelope_bytes"] == 262_144


@pytest.mark.timeout(180)
def test_the_commands_and_the_library_come_with_the_wheel(empty_environment, tmp_path):
    assert "register" in run(empty_environment / "bin" / "tokenim", "--help", cwd=tmp_path)
    for subject, case in (("relay", "auth-signed"), ("client", "client-registers")):
        listed = run(empty_environment / "bin" / "tokenim-conformance", subject, "--list", cwd=tmp_path)
        assert case in {line.split()[1] for line in listed.splitlines()}
    where = run(
        empty_environment / "bin" / "python",
        "-c",
        "import crypto, client; print(crypto.__file__)",
        cwd=tmp_path,
    )
    assert where.strip().startswith(str(empty_environment))


@pytest.mark.timeout(180)
def test_what_is_given_out_is_checked_complete_and_the_same_each_time(tmp_path):
    made = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        told = run(ROOT / ".ci" / "dist", Path(sys.executable).parent, folder, cwd=ROOT)
        made.append(dict(reversed(line.split()) for line in told.splitlines()))
        assert made[-1] == {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
            if path.name != "SHA256SUMS"
        }
    version = relay.__version__
    wheel, source = f"tokenim-{version}-py3-none-any.whl", f"tokenim-{version}.tar.gz"
    assert set(made[0]) == {wheel, source, f"tokenim-{version}.cdx.json"}
    assert (made[0][wheel], made[0][source]) == (made[1][wheel], made[1][source])
    with tarfile.open(tmp_path / "first" / source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {name_of(path) for path in tracked_files()}
    assert tracked - packed == set()
    assert packed - tracked == {"PKG-INFO"}
