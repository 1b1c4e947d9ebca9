"""Breaks relay and client on purpose, and looks whether the conformance kit sees it: python -m tests.conformance.mutate

Each file of mutations/ is a patch with a head: what is broken (`subject`: relay or client), the `case` that has to see it, the
`chapter` of docs/protocol.md, the `fault` in words. The case runs against what is whole first, and has to pass; then, alone,
against what the patch made, and has to fail; why it did is printed. A patch that does not apply, and a relay or a client that
does not start, fail the run: then no case saw anything.

Nearly all the time goes to the start of processes. So the kit runs in this one, invites are asked for at the relay's control
socket, and the trees keep what was compiled.
"""

import argparse
import asyncio
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import client.conformance.client_suite.cases  # noqa: F401  # the suite gets its cases
from client.conformance.case import CLIENT_LEVELS
from client.conformance.client_suite.suite import run_client
from client.conformance.relay import Invite, parse_invite
from client.conformance.relay_suite import run_relay
from client.conformance.report import Failed, NotReady, Result, closing_line
from relay.control.asking import ask
from tests.relay_process import environment

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("relay", "client", "crypto")
PATCHES = Path(__file__).with_name("mutations")
_HEAD = re.compile(r"^(subject|case|chapter|fault): (.+)$")
_ADAPTER_OF = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('client.conformance_adapter', run_name='__main__', alter_sys=True)"
)
WEB_ORIGIN = "https://app.example"
CLAIMS_ALL = {
    "TOKENIM_RELAY_PUSH__WEBHOOK": "true",
    "TOKENIM_RELAY_PUSH__ALLOW_HOSTS": "127.0.0.1",
    "TOKENIM_RELAY_REGISTRATION": "open",
    "TOKENIM_RELAY_LIMITS__REGISTRATION_WORK_BITS": "14",
    "TOKENIM_RELAY_WEB_ORIGINS": WEB_ORIGIN,
}
"""Of a relay of ours, so that the kit tries on it what a relay may leave out."""
_CAUGHT = "0 passed, 1 failed, 0 not claimed"
_NEVER_BEGAN = "ended before it took register"
"""How the kit tells of a client whose process is gone before it did anything."""
_REASON_CHARACTERS = 160
_PATIENCE_SECONDS = {"whole": 60.0, "broken": 15.0}
"""A slow machine has to pass; what is broken never shows what it should, and each second of that is waited for."""
_HALF_WRITTEN = shutil.ignore_patterns("*.pyc.*")


class Broken(Exception):
    """The run itself cannot go on; the words say why."""


@dataclass(frozen=True)
class Mutation:
    """One patch, by its head."""

    file: Path
    subject: str
    case: str
    chapter: str
    fault: str


def read_mutation(file: Path) -> Mutation:
    """Raises Broken for a head that is not whole."""
    head = dict(match.groups() for line in file.read_text().splitlines()[:6] if (match := _HEAD.match(line)))
    try:
        return Mutation(file, head["subject"], head["case"], head["chapter"], head["fault"])
    except KeyError as error:
        raise Broken(f"{file.name}: its head lacks {error}") from error


def copy_tree(into: Path) -> None:
    """What can be patched."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, into / name, ignore=_HALF_WRITTEN)


def patch(tree: Path, mutation: Mutation, *flags: str) -> None:
    """Apply it; raises Broken."""
    done = subprocess.run(
        ["git", "apply", *flags, str(mutation.file)], cwd=tree, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Broken(f"{mutation.file.name} does not apply: {done.stderr.strip()}")


@contextmanager
def serving(tree: Path, data: Path) -> Iterator[dict[str, Any]]:
    """The relay of this tree; what the kit needs to try it."""
    command = [sys.executable, "-c", "from relay.cli import main; main()"]
    settings = {**CLAIMS_ALL, "TOKENIM_RELAY_SHED__LOOP_LATE_MS": "60000"}
    process = subprocess.Popen(
        [*command, "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        cwd=tree,
        env=environment(**settings),
        text=True,
        stdout=subprocess.PIPE,
        stderr=(data.parent / "relay.log").open("w"),
    )
    try:
        said = dict(_words(process.stdout, until="ready"))
        if "ready" not in said:
            raise Broken(f"the relay did not start: {(data.parent / 'relay.log').read_text()[-500:]}")
        member, admin = (_invite(data, role) for role in ("member", "admin"))
        yield {"invite": member, "admin": said["admin"], "admin_invite": admin, "web_origin": WEB_ORIGIN}
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(data, ignore_errors=True)


def _words(lines: Iterable[str] | None, *, until: str) -> Iterator[tuple[str, str]]:
    for line in lines or ():
        name, _, rest = line.strip().partition(" ")
        yield name, rest
        if name == until:
            return


def _invite(data: Path, role: str) -> Invite:
    asked = {"role": role, "uses": 500, "ttl_seconds": None, "hosts": [], "stay_seconds": None}
    return parse_invite(ask(data, "invite.create", asked)["link"])


def kit(run: Callable[[Callable[[Result], None]], Coroutine[Any, Any, list[Result]]]) -> tuple[str, str]:
    """The last line of a run of the kit, and all that it said."""
    told: list[str] = []
    try:
        results = asyncio.run(run(lambda result: told.append(result.line())))
    except (Failed, NotReady) as failure:
        return "", str(failure)
    return closing_line(results), "\n".join(told)


def try_relay(tree: Path, folder: Path, cases: Sequence[str], patience_seconds: float) -> tuple[str, str]:
    """The kit's last line about the relay of this tree, by these cases alone. It has a patience of its own."""
    with serving(tree, folder / "data") as relay:
        return kit(lambda tell: run_relay(tell=tell, only=cases, **relay))


def try_client(tree: Path, folder: Path, cases: Sequence[str], patience_seconds: float) -> tuple[str, str]:
    """The kit's last line about the client of this tree, by these cases alone. Raises Broken if it does not start."""
    adapter = [sys.executable, "-c", _ADAPTER_OF, str(tree)]
    last, told = kit(
        lambda tell: run_client(adapter, tell, cases, CLIENT_LEVELS, 2, patience_seconds=patience_seconds)
    )
    if _NEVER_BEGAN in told:
        raise Broken(f"the client did not start: {reason(told)}")
    return last, told


TRIALS = {"relay": try_relay, "client": try_client}
"""How what is broken is tried, by its name in the head of a patch."""


@dataclass(frozen=True)
class Tried:
    """What the kit told of one trial: its last line, and all."""

    last: str
    told: str
    seconds: float


def reason(told: str) -> str:
    """Why one case failed, on one line: what stands under the line of the case, shortened."""
    why = " ".join(told.partition("\n")[2].split())
    return why if len(why) <= _REASON_CHARACTERS else f"{why[: _REASON_CHARACTERS - 1]}…"


class Workshop:
    """Several trees, each for one trial at a time; a tree that nobody has is whole."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy_tree(folder / str(number) / "tree")
            self._free.put(folder / str(number))

    def try_whole(self, subject: str, cases: Sequence[str]) -> Tried:
        """These cases against what is whole."""
        with self._place() as place:
            return _timed(subject, place, cases, "whole")

    def try_broken(self, mutation: Mutation) -> Tried:
        """The case of the mutation against what its patch makes. Raises Broken."""
        with self._place() as place:
            patch(place / "tree", mutation)
            try:
                return _timed(mutation.subject, place, [mutation.case], "broken")
            finally:
                patch(place / "tree", mutation, "-R")

    @contextmanager
    def _place(self) -> Iterator[Path]:
        place = self._free.get()
        try:
            yield place
        finally:
            self._free.put(place)


def _timed(subject: str, place: Path, cases: Sequence[str], state: str) -> Tried:
    began = time.monotonic()
    last, told = TRIALS[subject](place / "tree", place, cases, _PATIENCE_SECONDS[state])
    return Tried(last, told, time.monotonic() - began)


def run(mutations: Sequence[Mutation], jobs: int) -> list[Mutation]:
    """Those that were caught; prints a line for each. So many trials run side by side. Raises Broken."""
    caught = []
    with tempfile.TemporaryDirectory(prefix="tokenim-mutations-") as folder, ThreadPoolExecutor(jobs) as pool:
        try:
            shop = Workshop(Path(folder), jobs)
            cases = {
                subject: sorted({one.case for one in mutations if one.subject == subject})
                for subject in TRIALS
            }
            wholes = {
                pool.submit(shop.try_whole, subject, of): len(of) for subject, of in cases.items() if of
            }
            trials = [(mutation, pool.submit(shop.try_broken, mutation)) for mutation in mutations]
            for whole, count in wholes.items():
                if (tried := whole.result()).last != f"{count} passed, 0 failed, 0 not claimed":
                    raise Broken(f"without a patch not all cases pass:\n{tried.told}")
            for mutation, trial in trials:
                tried = trial.result()
                is_caught = tried.last == _CAUGHT
                if is_caught:
                    caught.append(mutation)
                print(f"{'caught' if is_caught else 'MISSED':<7} {mutation.subject}: {mutation.fault}")
                print(f"        {mutation.chapter}; {mutation.case}; {tried.seconds:.0f} s")
                print(f"        {reason(tried.told)}" if is_caught else tried.told)
        finally:
            pool.shutdown(cancel_futures=True)
    return caught


def main() -> int:
    """0 only if each is caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="those whose name begins so")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="so many at once")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # who waits sees how far it is
    for name in [name for name in os.environ if name.startswith("TOKENIM")]:
        del os.environ[name]  # the adapters get what this process has
    # Where nothing compiled is kept, each of some 250 processes compiles all of a tree: half of all the time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    try:
        files = [file for file in sorted(PATCHES.glob("*.patch")) if file.name.startswith(arguments.only)]
        mutations = [read_mutation(file) for file in files]
        caught = run(mutations, arguments.jobs)
    except Broken as failure:
        print(f"the run itself is broken: {failure}", file=sys.stderr)
        return 1
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = sum(one.ru_utime + one.ru_stime for one in used)
    print(f"in {time.monotonic() - began:.0f} s, {busy:.0f} s of processors")
    print(f"{len(caught)} of {len(mutations)} caught")
    return 0 if mutations and len(caught) == len(mutations) else 1


if __name__ == "__main__":
    sys.exit(main())
