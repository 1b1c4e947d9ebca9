"""The main job in one run, as `make demo`: two people talk through a relay that cannot read them and is killed meanwhile.

Relay, sender and receiver are processes of the installed commands. Everything it prints is counted; it ends with 0 only
if nothing was lost, nothing came twice, and the relay's files hold neither a line of the text nor the sender's name.
"""

import argparse
import asyncio
import hashlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.demo_ground import Ground, OneRelay, Part, Sender
from bench.material import picture, real_text
from bench.people import CommandFailed, Listening, Person, Typing
from relay.wire.limits import ACCOUNT_ID_BYTES, DEVICE_ID_BYTES
from relay.wire.links import decode_id
from tests.faults.relay_process import RelayDied
from tests.hostile.leak_scanner import MIN_NEEDLE_BYTES, Finding, LeakScanner
from tests.hostile.planting import NothingToPlantIn
from tests.hostile.relay_files import CopyFailed

SENDER, RECEIVER = "sender-of-the-demonstration", "receiver-of-the-demonstration"
POLL_SECONDS = 0.01
CLIENT_DIES_AT = "decrypted:40"
TYPED_LINES_PER_SECOND = 400.0
LIVE_LINES_PER_SECOND = 100.0
PATIENCE_SECONDS = "60"
EACH_LINE = ("send", RECEIVER, "--each-line", "--patience", PATIENCE_SECONDS, "--json")
UNANSWERED = re.compile(r"(\d+) submits unanswered")
WAIT_SECONDS = 60.0
KILLED = -9


@dataclass(slots=True)
class Demonstration:
    """What is on stage, and what was seen."""

    folder: Path
    lines: list[str]
    image: bytes
    ground: Ground
    sender: Person
    receiver: Person
    kills: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    live: list[float] = field(default_factory=list)  # seconds from typing a line to seeing it
    readable: list[Finding] = field(default_factory=list)
    planted_places: int = 0
    searched_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    _text: LeakScanner | None = None
    _who: Sender | None = None

    @property
    def half(self) -> int:
        """How many lines go out while the receiver is away."""
        return len(self.lines) // 2

    def _pace(self, lines_per_second: float) -> float:
        """This, or slower, where the ground wants time for what it loses."""
        slowest = self.ground.slowest_half_seconds
        return min(lines_per_second, self.half / slowest) if slowest else lines_per_second

    async def set_the_stage(self) -> None:
        """Two accounts, and what to search for."""
        invite, another = await self.ground.invites()
        (who,), _ = await asyncio.gather(
            self.sender.call("register", invite, "--handle", SENDER),
            self.receiver.call("register", another, "--handle", RECEIVER),
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
        self._who = Sender(
            SENDER.encode(),
            decode_id(who["account"], ACCOUNT_ID_BYTES),
            decode_id(who["device"], DEVICE_ID_BYTES),
        )

    async def first_half(self) -> None:
        """Lines and picture go out while the receiver is away; parts are killed, at least one with submits unanswered."""
        path = self.folder / "picture.png"
        path.write_bytes(self.image)
        typing = Typing(self.lines[: self.half])
        process = await self.sender.start("--verbose", *EACH_LINE, stdin=typing.reader)
        typing.handed_over()
        await typing.write(
            1
        )  # once it is stored, the sender's process is up, and reads what is typed as it comes
        await self._until_stored(1)
        writing = asyncio.create_task(typing.run(self._pace(TYPED_LINES_PER_SECOND)))
        parts = self.ground.first_half
        for number, part in enumerate(parts, start=1):
            await self._until_stored(self.half * number // (len(parts) + 2))
            await self._kill(part)
            await self._until_stored(min(await self.ground.stored() + 1, self.half))  # the sender goes on
            self.unanswered = self._count_unanswered()
            if self.unanswered and self.ground.one_hit_is_enough:
                break
        if not self.unanswered:
            self.problems.append("no submit was unanswered at any of the kills: they prove nothing")
        await asyncio.gather(writing, process.communicate())
        self.sender.require(process, 0, "send --each-line")
        await self.sender.call("send", RECEIVER, "--file", str(path), "--patience", PATIENCE_SECONDS)

    async def _kill(self, part: Part) -> None:
        """It comes back at once."""
        await part.kill()
        self.kills[part.name] += 1
        await part.start()

    async def _until_stored(self, count: int) -> None:
        """Until so many envelopes wait."""
        for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
            if await self.ground.stored() >= count:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise CommandFailed(f"there never waited {count} envelopes:\n{self.sender.end_of_log()}")

    def _count_unanswered(self) -> int:
        """What the sender noted when it lost the relay, in sum."""
        return sum(int(found[1]) for line in self.sender.log_lines() if (found := UNANSWERED.search(line)))

    async def second_half(self) -> None:
        """The receiver comes, dies between decrypting and committing, comes again and stays; the rest goes live."""
        doomed = Listening(
            await self.receiver.start("listen", "--json", environment={"TOKENIM_KILL_AT": CLIENT_DIES_AT})
        )
        if (code := await doomed.ended()) != KILLED:
            raise CommandFailed(
                f"the receiver was to be killed, it ended with {code}:\n{self.receiver.end_of_log()}"
            )
        self.kills["the receiver"] += 1
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
        await asyncio.gather(
            typing.run(self._pace(LIVE_LINES_PER_SECOND)), process.communicate(), self._kill_live(listening)
        )
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

    async def _kill_live(self, listening: Listening) -> None:
        """Each part of the second half in its turn, while lines come."""
        parts = self.ground.second_half
        for number, part in enumerate(parts, start=1):
            rest = len(self.lines) - self.half
            await listening.until(self.half + 1 + rest * number // (len(parts) + 2), WAIT_SECONDS)
            await self._kill(part)

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

    async def search(self, name: str, *, plant: bool = False) -> None:
        """Look for the text and the sender in all that the ground keeps now; in a copy, also for what is planted there."""
        if self._text is None or self._who is None:
            raise RuntimeError("the stage is not set")
        copy = await self.ground.copy(self.folder / name)
        self.searched_bytes += copy.size()
        self.readable += await copy.find_text(self._text)
        self.readable += await copy.find_sender(self._who)
        if not plant:
            return
        line = next(line.strip() for line in self.lines if len(line.strip()) >= 2 * MIN_NEEDLE_BYTES)
        places = await copy.plant(line.encode(), SENDER.encode())
        self.planted_places += len(places)
        for what, hits in (
            ("a line", await copy.find_text(self._text)),
            ("the sender", await copy.find_sender(self._who)),
        ):
            if unseen := places - {hit.where.split()[0] for hit in hits}:
                self.problems.append(f"the search did not find {what} where it was planted: {sorted(unseen)}")

    async def run(self) -> tuple[int, int]:
        """The whole play; (lost, twice)."""
        await self.set_the_stage()
        await self.first_half()
        await self.search("while it runs", plant=True)
        await self.second_half()
        self.problems += await self.ground.stop()
        await self.search("after it stopped")
        return await self.compare()

    def report(self, lost: int, twice: int) -> None:
        """Every number, and last the line that scripts read."""
        cuts = quantiles(self.live, n=100)
        print(f"text       {len(self.lines)} lines, {self.half} of them sent while the receiver was away")
        print(f"picture    {len(self.image)} bytes, SHA-256 {hashlib.sha256(self.image).hexdigest()}")
        print(f"kills      {self.kills.total()} survived, with {self.unanswered} submits unanswered:")
        print(f"           {', '.join(f'{name} {count}' for name, count in self.kills.items())}")
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


def main(what: str | None, open_ground: Callable[[Path], AbstractAsyncContextManager[Ground]]) -> int:
    """Play it on what `open_ground` makes in a folder; 0 only if all of it holds."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--seed", type=int, default=1, help="of the picture")
    parser.add_argument(
        "--lines", type=int, help="only the first so many lines of the text (the demonstration: all)"
    )
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tokenim-demo-") as name:
        try:
            stage, lost, twice = asyncio.run(
                _perform(Path(name), open_ground, real_text()[: arguments.lines], picture(arguments.seed))
            )
        except (CommandFailed, RelayDied, CopyFailed, NothingToPlantIn) as failure:
            print(f"the demonstration stopped: {failure}", file=sys.stderr)
            return 1
        stage.report(lost, twice)
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if lost or twice or stage.readable or stage.problems else 0


async def _perform(
    folder: Path,
    open_ground: Callable[[Path], AbstractAsyncContextManager[Ground]],
    lines: list[str],
    image: bytes,
) -> tuple[Demonstration, int, int]:
    async with (
        open_ground(folder) as ground,
        Person(folder / "sender", folder / "sender.log") as sender,
        Person(folder / "receiver", folder / "receiver.log") as receiver,
    ):
        stage = Demonstration(folder, lines, image, ground, sender, receiver)
        return stage, *await stage.run()


if __name__ == "__main__":
    sys.exit(main(__doc__, OneRelay))
