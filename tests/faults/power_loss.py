"""F3: cuts the power of the relay's disk under load; nothing that was accepted may be gone.

    python -m tests.faults.power_loss [--rounds 3] [--seed 1]

The same with synchronous=NORMAL must lose envelopes: that proves that the rig can see a missing fsync.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import aiohttp

from tests.faults.checker import Ledger
from tests.faults.kills import check_integrity, settle, sleeping_cast
from tests.faults.mounts import LoopDisk, NotPossible, loop_disk
from tests.faults.relay_process import RelayProcess, broken_relay

LOAD_SECONDS = 1.0
LAST_GASP_SECONDS = 0.2
BROKEN_ROUNDS = 8
"""At most, until one loses: a checkpoint flushes in that mode as well, and on a slow disk the cut often comes in one."""


async def one_round(disk: LoopDisk, folder: Path, seed: int, program: Sequence[str] | None) -> Ledger:
    """Load, power cut, and what is there afterwards."""
    random = Random(seed)
    relay = RelayProcess(disk.path / f"data-{seed}", folder / "relay.log", program=program)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http,
        relay,
    ):
        await relay.start()
        cast = await sleeping_cast(http, await relay.create_invite(3), random)
        await relay.stop()  # accounts are on the disk in either mode: it is about envelopes
        await relay.start()
        runs = [asyncio.create_task(sender.run(http, relay.origin)) for sender in cast.senders]
        await asyncio.sleep(LOAD_SECONDS * random.uniform(0.5, 1.5))
        # Frozen first: ext4's shutdown lets an fdatasync that is under way return as if it were done, after which nothing
        # would be there to keep the `accepted`. With the power gone, no such call returns.
        relay.freeze()
        disk.cut_power()
        await asyncio.sleep(LAST_GASP_SECONDS)  # what was said before is read, and counted
        await relay.kill()
        await asyncio.gather(*runs)
        disk.unmount()
        disk.mount()
        for sender in cast.senders:
            sender.forget_unanswered()  # nobody tries again: only what was accepted has to be there
        cast.ledger.restarted(await relay.start())
        await settle(relay, http, cast)
        await relay.stop()
        check_integrity(relay.data, cast.ledger)
    return cast.ledger


def main() -> int:
    """0 if nothing accepted was lost, and the broken relay did lose; 0 with the reason where it cannot be tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    broken = broken_relay("synchronous-normal")
    lost = {"full": 0, "normal": 0}
    failed = False
    with tempfile.TemporaryDirectory(prefix="tokenim-power-") as name:
        folder = Path(name)
        try:
            with loop_disk(folder) as disk:
                for number in range(arguments.seed, arguments.seed + arguments.rounds):
                    ledger = asyncio.run(one_round(disk, folder, number, None))
                    for violation in ledger.violations()[:20]:
                        print(violation, file=sys.stderr)
                        failed = True
                    counts = ledger.counts()
                    lost["full"] += counts["lost"]
                    print(f"power cut {number}: {counts['accepted']} accepted, {counts['lost']} lost")
                first = arguments.seed + arguments.rounds
                for number in range(first, first + BROKEN_ROUNDS):
                    ledger = asyncio.run(one_round(disk, folder, number, broken))
                    lost["normal"] = ledger.counts()["lost"]
                    print(
                        f"with synchronous=NORMAL: {ledger.counts()['accepted']} accepted, {lost['normal']} lost"
                    )
                    if lost["normal"]:
                        break
        except NotPossible as reason:
            print(f"power loss was not tried: {reason}")
            return 0
    if not lost["normal"]:
        print("the rig saw no loss where there must be one: it proves nothing", file=sys.stderr)
        failed = True
    print(f"{arguments.rounds} power cuts: {lost['full']} accepted envelopes lost")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
