"""The main job in one run, as `make demo`: two people talk through a relay that cannot read them and is killed meanwhile.

Relay, sender and receiver are processes of the installed commands. Everything it prints is counted; it ends with 0 only
if nothing was lost, nothing came twice, and the relay's files hold neither a line of the text nor the sender's name.
"""

import argparse
import asyncio
import hashlib
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.material import picture, real_text
from bench.people import CommandFailed, Listening, Person, Typing
from relay.wire.limits import ACCOUNT_ID_BYTES, DEVICE_ID_BYTES
from relay.wire.links import decode_id
from tests.faults.relay_process import RelayDied, RelayProcess
from tests.hostile.leak_scanner import MIN_NEEDLE_BYTES, Finding, LeakScanner
from tests.hostile.planting import NothingToPlantIn, plant_everywhere
from tests.hostile.relay_files import IDENTITY_TABLES, CopyFailed, copy_relay_files, find_sender, find_text

SENDER, RECEIVER = "sender-of-the-demonstration", "receiver-of-the-demonstration"
KILL_AT = (0.2, 0.4, 0.6)  # of the first half; a kill that hits between two submits is tried again later
FROZEN_SECONDS = 0.2
POLL_SECONDS = 0.01
CLIENT_DIES_AT = "decrypted:40"
TYPED_LINES_PER_SECOND = 400.0
LIVE_LINES_PER_SECOND = 100.0
PATIENCE_SECONDS = "60"
EACH_LINE = ("send", RECEIVER, "--each-line", "--patience", PATIENCE_SECONDS, "--json")
UNANSWERED = re.compile(r"(\d+) submits unanswered")
WAIT_SECONDS = 60.0
NOTICED_WITHIN_SECONDS = 10.0
KILLED = -9


@dataclass(slots=True)
class Demonstration:
    """What is on stage, and what was seen."""

    folder: Path
    lines: list[str]
    image: bytes
    relay: RelayProcess
    sender: Person
    receiver: Person
    relay_kills: int = 0
    client_kills: int = 0
    unanswered: int = 0
    live: list[float] = field(default_factory=list)  # seconds from typing a line to seeing it
    readable: list[Finding] = field(default_factory=list)
    planted_places: int = 0
    searched_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    _text: LeakScanner | None = None
    _names: LeakScanner | None = None

    @property
    def half(self) -> int:
        """How many lines go out while the receiver is away."""
        return len(self.lines) // 2

    async def set_the_stage(self) -> None:
        """A relay, two accounts, and what to search for."""
        await self.relay.start()
        invite = await self.relay.create_invite()
        (who,), _ = await asyncio.gather(
            self.sender.call("register", self.relay.invite, "--handle", SENDER),
            self.receiver.call("register", invite, "--handle", RECEIVER),
        )
        await self.receiver.call("contact", "accept", SENDER)  # a stranger could not send so much
        await self.sender.call("listen", "--until-caught-up")
        self._text = LeakScanner(
            {
                f"line {number}": line.strip().encode()
                for number, line in enumerate(self.lines, start=1)
                if len(line.strip().encode()) >= MIN_NEEDLE_BYTES
            }
        )
        self._names = LeakScanner(
            {
                "the sender's handle": SENDER.encode(),
                "the sender's account": decode_id(who["account"], ACCOUNT_ID_BYTES),
                "the sender's device": decode_id(who["device"], DEVICE_ID_BYTES),
            }
        )

    async def first_half(self) -> None:
        """Lines and picture go out while the receiver is away; the relay is killed with submits unanswered."""
        path = self.folder / "picture.png"
        path.write_bytes(self.image)
        typing = Typing(self.lines[: self.half])
        process = await self.sender.start("--verbose", *EACH_LINE, stdin=typing.reader)
        typing.handed_over()
        await typing.write(
            1
        )  # once it is stored, the sender's process is up, and reads what is typed as it comes
        await self._until_stored(1)
        writing = asyncio.create_task(typing.run(TYPED_LINES_PER_SECOND))
        for share in KILL_AT:
            await self._until_stored(int(self.half * share))
            noted = len(self.sender.log_lines())
            self.relay.freeze()  # it answers nothing more, and has committed what it has not answered yet
            await asyncio.sleep(FROZEN_SECONDS)
            await self.relay.kill()
            self.relay_kills += 1
            self.unanswered = await self._count_unanswered(noted)
            await self.relay.start()
            if self.unanswered:
                break
        else:
            self.problems.append("no submit was unanswered at any of the kills: they prove nothing")
        await asyncio.gather(writing, process.communicate())
        self.sender.require(process, 0, "send --each-line")
        await self.sender.call("send", RECEIVER, "--file", str(path), "--patience", PATIENCE_SECONDS)

    async def _until_stored(self, count: int) -> None:
        """Look into the relay's database until it holds so many envelopes."""
        uri = f"file:{self.relay.data / 'relay.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
                if connection.execute("SELECT count(*) FROM envelopes").fetchone()[0] >= count:
                    return
                await asyncio.sleep(POLL_SECONDS)
        raise CommandFailed(f"the relay never held {count} envelopes:\n{self.sender.end_of_log()}")

    async def _count_unanswered(self, before: int) -> int:
        """What the sender noted when it lost the relay: a line of its log below the first `before` ones."""
        for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
            for line in self.sender.log_lines()[before:]:
                if found := UNANSWERED.search(line):
                    return int(found[1])
            await asyncio.sleep(POLL_SECONDS)
        raise CommandFailed(
            f"the sender did not notice that the relay was killed:\n{self.sender.end_of_log()}"
        )

    async def second_half(self) -> None:
        """The receiver comes, dies between decrypting and committing, comes again and stays; the rest goes live."""
        doomed = Listening(
            await self.receiver.start("listen", "--json", environment={"TOKENIM_KILL_AT": CLIENT_DIES_AT})
        )
        if (code := await doomed.ended()) != KILLED:
            raise CommandFailed(
                f"the receiver was to be killed, it ended with {code}:\n{self.receiver.end_of_log()}"
            )
        self.client_kills += 1
        listening = Listening(await self.receiver.start("listen", "--json"))
        listening.came.update(
            doomed.came
        )  # what was shown at the very moment of the kill may come again, as one message
        await listening.until(self.half + 1, WAIT_SECONDS)
        typing = Typing(self.lines[self.half :])
        process = await self.sender.start(*EACH_LINE, stdin=typing.reader)
        typing.handed_over()
        await typing.write(1)  # once it has come, the sender's process is up
        await listening.until(self.half + 2, WAIT_SECONDS)
        await asyncio.gather(typing.run(LIVE_LINES_PER_SECOND), process.communicate())
        self.sender.require(process, 0, "send --each-line")
        await listening.until(len(self.lines) + 1, WAIT_SECONDS)
        seen_at = [at for at, _ in list(listening.came.values())[self.half + 1 :]]
        self.live = [seen - typed for typed, seen in zip(typing.written_at, seen_at, strict=True)]
        listening.process.terminate()
        if (code := await listening.ended()) != 0:
            self.problems.append(f"`tokenim listen` ended with {code} after SIGTERM")
        if listening.again > 1 or listening.others:
            self.problems.append(
                f"besides the messages came {listening.others[:5]}, {listening.again} of them twice"
            )

    async def compare(self) -> tuple[int, int]:
        """(lost, twice): the receiver's history against what was sent, and its picture byte for byte."""
        received = await self.receiver.call("history", SENDER)
        texts = [message["text"] for message in received if message["type"] == "text"]
        files = [message["file"] for message in received if message["type"] == "file"]
        lost = Counter(self.lines) - Counter(texts)
        twice = Counter(texts) - Counter(self.lines)
        if not lost and not twice and texts != self.lines:
            self.problems.append("every line came once, but not in order")
        whole = [file for file in files if _is_same(file, self.image)]
        return lost.total() + (not whole), twice.total() + max(0, len(files) - 1)

    def search(self, name: str, *, plant: bool = False) -> None:
        """Look for the text and the sender in all that the relay keeps now; in a copy, also for what is planted there."""
        if self._text is None or self._names is None:
            raise RuntimeError("the stage is not set")
        files = copy_relay_files(self.relay.data, self.folder / name)
        shutil.copy(self.relay.log, files.folder / "log")
        self.searched_bytes += sum(path.stat().st_size for path in files.files())
        self.readable += find_text(files, self._text)
        self.readable += find_sender(files, self._names, IDENTITY_TABLES)
        if not plant:
            return
        line = next(line.strip() for line in self.lines if len(line.strip()) >= 2 * MIN_NEEDLE_BYTES)
        places = plant_everywhere(files, line.encode(), SENDER.encode(), IDENTITY_TABLES)
        self.planted_places += len(places)
        for what, hits in (
            ("a line", find_text(files, self._text)),
            ("the sender", find_sender(files, self._names, IDENTITY_TABLES)),
        ):
            if unseen := places - {hit.where.split()[0] for hit in hits}:
                self.problems.append(f"the search did not find {what} where it was planted: {sorted(unseen)}")

    async def run(self) -> tuple[int, int]:
        """The whole play; (lost, twice)."""
        await self.set_the_stage()
        await self.first_half()
        self.search("while it runs", plant=True)
        await self.second_half()
        if (code := await self.relay.stop()) != 0:
            self.problems.append(f"the relay ended with {code} after SIGTERM")
        self.search("after it stopped")
        return await self.compare()

    def report(self, lost: int, twice: int) -> None:
        """Every number, and last the line that scripts read."""
        cuts = quantiles(self.live, n=100)
        print(f"text       {len(self.lines)} lines, {self.half} of them sent while the receiver was away")
        print(f"picture    {len(self.image)} bytes, SHA-256 {hashlib.sha256(self.image).hexdigest()}")
        print(
            f"kills      {self.relay_kills + self.client_kills} survived: the relay's {self.relay_kills}, with"
        )
        print(
            f"           {self.unanswered} submits unanswered; the receiver's {self.client_kills}, before a commit"
        )
        print(f"latency    {len(self.live)} live lines, from typed to seen:")
        print(f"           p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms")
        print(f"search     {self.searched_bytes} bytes of the relay's files, running and stopped;")
        print(f"           in a copy it found what was planted, in {self.planted_places} places")
        for finding in self.readable[:10]:
            print(f"readable   {finding.needle} as {finding.encoding} in {finding.where} at {finding.offset}")
        for problem in self.problems:
            print(f"problem    {problem}")
        print(f"{lost} lost, {twice} twice, {len(self.readable)} readable")


def _is_same(file: dict[str, Any], image: bytes) -> bool:
    return (
        file["path"] is not None
        and Path(file["path"]).read_bytes() == image
        and file["sha256"] == hashlib.sha256(image).hexdigest()
    )


def main() -> int:
    """0 only if all of it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the picture")
    parser.add_argument(
        "--lines", type=int, help="only the first so many lines of the text (the demonstration: all)"
    )
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tokenim-demo-") as name:
        folder = Path(name)
        stage = Demonstration(
            folder,
            real_text()[: arguments.lines],
            picture(arguments.seed),
            RelayProcess(folder / "relay", folder / "relay.log"),
            Person(folder / "sender", folder / "sender.log"),
            Person(folder / "receiver", folder / "receiver.log"),
        )
        try:
            lost, twice = asyncio.run(_perform(stage))
        except (CommandFailed, RelayDied, CopyFailed, NothingToPlantIn) as failure:
            print(f"the demonstration stopped: {failure}", file=sys.stderr)
            return 1
        stage.report(lost, twice)
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if lost or twice or stage.readable or stage.problems else 0


async def _perform(stage: Demonstration) -> tuple[int, int]:
    async with stage.relay:
        return await stage.run()


if __name__ == "__main__":
    sys.exit(main())
