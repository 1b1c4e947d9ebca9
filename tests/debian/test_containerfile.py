"""The Containerfile's own commands, run in an empty folder that stands for the container's root; then what it starts."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.architecture.source import ROOT

CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
OWN_FOLDERS = ("/build", "/data", "/opt")  # all that the file writes


class Container:
    """A folder as the root. Its paths are the container's with the folder in front; the base image is this machine."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        self.stages: dict[str, Path] = {}
        self.environment: dict[str, str] = {}
        self.workdir = Path("/")
        self.said: dict[str, list[str]] = {}
        self._place = place

    def here(self, text: str) -> str:
        """Text of the file with its paths led here."""
        return re.sub(rf"(?<![\w.-])({'|'.join(OWN_FOLDERS)})(?=/|\b)", rf"{self.root}\1", text)

    def begin(self, value: str) -> None:
        """FROM: what was built is put aside, another empty root comes."""
        name = value.partition(" AS ")[2]
        if self.root.exists():
            aside = self._place / f"stage-{len(self.stages)}"
            self.root.rename(aside)
            self.stages = {stage: aside if root == self.root else root for stage, root in self.stages.items()}
        self.root.mkdir()
        self.stages[name] = self.root
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._place / "home"),
            **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))},
        }
        self.workdir = Path("/")

    def copy(self, value: str) -> None:
        """COPY, from the checkout (what is committed or about to be) or from a stage."""
        flags = dict(re.findall(r"--(\w+)=(\S+)", value))
        *sources, target = re.sub(r"--\w+=\S+ *", "", value).split()
        origin = self.stages[flags["from"]] if "from" in flags else ROOT
        into = (
            Path(self.here(target)) if target.startswith("/") else Path(self.here(str(self.workdir))) / target
        )
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, into, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, into / path.name)

    def run(self, value: str) -> None:
        """RUN, by the shell of the image."""
        done = subprocess.run(
            ["/bin/sh", "-c", self.here(value)],
            cwd=self.here(str(self.workdir)),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"RUN {value}\n{done.stdout}{done.stderr}"

    def build(self, file: Path) -> None:
        """All instructions in their order; one that this does not know is an error."""
        with file.open("rb") as content:
            steps = DockerfileParser(fileobj=content).structure
        for step in steps:
            instruction, value = step["instruction"], step["value"]
            match instruction:
                case "FROM":
                    self.begin(value)
                case "WORKDIR":
                    self.workdir = Path(value)
                    Path(self.here(value)).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self.copy(value)
                case "RUN":
                    self.run(value)
                case "ENV":
                    pairs = (pair.partition("=") for pair in shlex.split(value))
                    self.environment |= {name: self.here(text) for name, _, text in pairs}
                case "ENTRYPOINT" | "CMD":
                    self.said[instruction] = json.loads(value)
                case "HEALTHCHECK":
                    self.said[instruction] = json.loads(value[value.index("[") :])
                case "LABEL" | "USER" | "VOLUME" | "EXPOSE" | "STOPSIGNAL" | "COMMENT":
                    continue
                case _:
                    pytest.fail(f"the test does not know {instruction}")

    def start(self, **more: str) -> subprocess.Popen[str]:
        """What the container starts."""
        return subprocess.Popen(
            [*self.said["ENTRYPOINT"], *self.said["CMD"]],
            cwd=self.root,
            env={**self.environment, **more},
            executable=shutil.which(self.said["ENTRYPOINT"][0], path=self.environment["PATH"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    built = Container(tmp_path_factory.mktemp("container"))
    built.build(CONTAINERFILE)
    return built


@pytest.mark.timeout(300)  # installing from an empty cache takes its time
def test_the_container_s_relay_starts_is_healthy_and_stops(container):
    with container.start(
        TOKENIM_RELAY_LISTEN="127.0.0.1:0", TOKENIM_RELAY_DATA=f"{container.root}/data"
    ) as relay:
        try:
            said = {}
            for line in relay.stdout:
                word, _, rest = line.strip().partition(" ")
                said[word] = rest
                if word == "ready":
                    break
            with urllib.request.urlopen(f"{said['ready']}/.well-known/tokenim", timeout=10) as answer:
                assert json.load(answer)["origin"] == said["ready"]
            port = said["ready"].rpartition(":")[2]
            check = [part.replace(":8080", f":{port}") for part in container.said["HEALTHCHECK"]]
            healthy = subprocess.run(check, env=container.environment, check=False, timeout=20)
        finally:
            relay.send_signal(signal.SIGTERM)
        assert relay.wait(timeout=20) == 0
    assert healthy.returncode == 0
    assert sorted(path.name for path in (container.root / "opt").iterdir()) == ["tokenim"]
    assert (container.root / "data" / "relay.sqlite3").stat().st_size > 0


@pytest.mark.timeout(300)
def test_the_health_check_fails_without_a_relay(container):
    check = [part.replace(":8080", ":1") for part in container.said["HEALTHCHECK"]]
    assert subprocess.run(check, env=container.environment, capture_output=True, check=False).returncode != 0


@pytest.mark.timeout(300)
def test_not_on_loopback_the_container_asks_for_tls(container):
    with container.start() as relay:
        assert relay.wait(timeout=20) == 2
        assert "plain_http" in relay.stderr.read()
