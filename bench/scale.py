"""A relay that has grown: ACCOUNTS accounts, ten envelopes and ten audit rows for each, entered through the store's port.

Then what its operator waits for: from the start to `ready`, and lists.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.results import Result
from bench.served import relay_command, serving
from relay.adapters.data_folder import open_data_folder
from relay.adapters.sqlite.store import SqliteStore, open_sqlite_store
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.control.asking import ask
from relay.ports.accounts import Registration
from relay.ports.mailboxes import Submission
from relay.services.audit import Action, Audit
from relay.session.proof import RelayKey
from relay.wire.manifests import Manifest, ManifestDevice, SignedManifest, parse_manifest
from relay.wire.transcripts import MANIFEST_LABEL, transcript

ACCOUNTS = int(os.environ.get("BENCH_SCALE_ACCOUNTS", "10000"))
EACH = 10
AT_ONCE = 500
CIPHERTEXT_BYTES = 512
ROUNDS = 5
LISTS: dict[str, tuple[str, dict[str, object]]] = {
    "100 accounts": ("account.list", {"limit": 100}),
    "accounts by a handle's beginning": ("account.list", {"handle_begins": "person-12", "limit": 100}),
    "auditors, of whom there is none": ("account.list", {"role": "auditor", "limit": 100}),
    "roles, each with its number of accounts": ("role.list", {}),
    "open invites": ("invite.list", {}),
    "holds": ("retention.holds", {}),
    "figures": ("figures.now", {}),
    "settings": ("settings.show", {}),
    "suspended accounts, of which there is none": ("account.list", {"suspended": True, "limit": 100}),
    "100 audit rows": ("audit.list", {"limit": 100}),
    "100 audit rows from the middle": ("audit.list", {"before": ACCOUNTS * EACH // 2, "limit": 100}),
}
"""What an operator waits for, as asked of the running relay."""


def _manifest(now_ms: int) -> tuple[Manifest, SignedManifest]:
    """The first manifest of somebody new. Nobody verifies what the store is given: the signatures are random bytes."""
    device = ManifestDevice(
        *(system_randomness(size) for size in (16, 32, 32)), 1, now_ms, system_randomness(64)
    )
    fields = (device.device_id, device.signing_key, device.identity_key, b"\x01")
    packed = b"".join(fields) + now_ms.to_bytes(8, "big") + device.signature
    body = transcript(MANIFEST_LABEL, system_randomness(32), (1).to_bytes(8, "big"), b"", packed)
    return parse_manifest(body), SignedManifest(body, b"", system_randomness(64))


async def _grow(store: SqliteStore, audit: Audit, now_ms: int) -> None:
    """Accounts first, then what waits for them; AT_ONCE at a time share a commit."""
    for begin in range(0, ACCOUNTS, AT_ONCE):
        made = [_manifest(now_ms) for _ in range(min(AT_ONCE, ACCOUNTS - begin))]
        await asyncio.gather(
            *(
                store.accounts.register(
                    Registration(manifest, signed, "member", handle=f"person-{begin + number}"), now_ms=now_ms
                )
                for number, (manifest, signed) in enumerate(made)
            )
        )
        submissions = [
            Submission(
                system_randomness(16),
                2_592_000,
                (system_randomness(CIPHERTEXT_BYTES),),
                ((device.device_id, 0),),
            )
            for manifest, _ in made
            for device in manifest.devices
            for _ in range(EACH)
        ]
        await store.mailboxes.append(submissions, now_ms=now_ms)
        for _ in range(EACH):
            rows = (audit.by_account(Action.MANIFEST_CHANGE, manifest.account_id) for manifest, _ in made)
            await asyncio.gather(*(store.audit.append(row) for row in rows))


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def run() -> list[Result]:
    """One folder; restarts and lists ROUNDS times each."""
    with tempfile.TemporaryDirectory(prefix="tokenim-bench-") as place:
        data = Path(place) / "data"
        serve = [relay_command(), "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
        with serving(serve, data):
            pass
        began = time.perf_counter()
        asyncio.run(_fill(data))
        filled = time.perf_counter() - began
        size = (data / "relay.sqlite3").stat().st_size
        ready: list[float] = []
        lists: dict[str, list[float]] = {name: [] for name in LISTS}
        for _ in range(ROUNDS):
            started = time.perf_counter()
            with serving(serve, data):
                ready.append(time.perf_counter() - started)
                for name, (command, arguments) in LISTS.items():
                    lists[name].append(_timed(partial(ask, data, command, arguments)))
    grown = f"{ACCOUNTS:,} accounts, {ACCOUNTS * EACH:,} envelopes and audit rows"
    return [
        Result.of(f"scale: {grown}: entered in", "s", [filled]),
        Result.of("scale: size of the database", "MB", [size / 1e6]),
        Result.of("scale: start to ready", "s", ready),
        *(Result.of(f"scale: {name}", "ms", times) for name, times in lists.items()),
    ]


async def _fill(data: Path) -> None:
    clock = SystemClock()
    with open_data_folder(data) as folder:
        async with open_sqlite_store(folder.database) as store:
            key = RelayKey(folder.signing_seed(system_randomness))
            audit = Audit(store.audit, key=key, clock=clock, randomness=system_randomness)
            await _grow(store, audit, clock.now_ms())
