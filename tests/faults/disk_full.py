"""F4: fills the relay's disk with envelopes, then with blobs; what frees room still works, and it recovers by itself.

python -m tests.faults.disk_full [--seed 1]
"""

import argparse
import asyncio
import base64
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import aiohttp
from yarl import URL

from relay.wire.links import encode_bytes, encode_id
from relay.wire.transcripts import STREAMED, http_request_transcript
from tests.faults.checker import Ledger
from tests.faults.kills import Cast, check_integrity, settle
from tests.faults.load import Mailbox, Recipient, Sender
from tests.faults.mounts import NotPossible, small_disk
from tests.faults.relay_process import RelayProcess
from tests.faults.wire_client import Device, Refusal, register

DISK_BYTES = 64 << 20
BLOB_BYTES = 4 << 20
FULL_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.05


class NotFull(Exception):
    """The relay did not do in time what a full disk asks of it."""


async def until(condition: Callable[[], bool], seconds: float, words: str) -> float:
    """The seconds it took; raises NotFull with these words if the time is over."""
    began = time.monotonic()
    for _ in range(int(seconds / POLL_SECONDS)):
        if condition():
            return time.monotonic() - began
        await asyncio.sleep(POLL_SECONDS)
    raise NotFull(words)


class Uploader:
    """Blobs of one device, by tus 1.0.0 as docs/protocol.md has it."""

    def __init__(self, http: aiohttp.ClientSession, device: Device, random: Random) -> None:
        self._http = http
        self._device = device
        self._random = random

    async def _call(
        self, method: str, target: str, body: bytes, headers: dict[str, str], offset: int | None
    ) -> str:
        """The Location of the answer, if it has one; raises Refusal."""
        time_ms, nonce = time.time_ns() // 1_000_000, self._random.randbytes(16)
        signed = http_request_transcript(
            method=method,
            target=target,
            body_hash=hashlib.sha256(body).digest() if offset is None else STREAMED,
            origin=self._device.origin,
            device_id=self._device.device_id,
            time_ms=time_ms,
            nonce=nonce,
            upload_offset=offset,
        )
        signature = self._device.signing_key.sign(signed).signature
        headers |= {
            "Tus-Resumable": "1.0.0",
            "Authorization": f'TokenIM-Ed25519 device="{encode_id(self._device.device_id)}", time="{time_ms}", '
            f'nonce="{encode_bytes(nonce)}", signature="{encode_bytes(signature)}"',
        }
        url = URL(self._device.origin + target, encoded=True)
        async with self._http.request(method, url, data=body or None, headers=headers) as answer:
            if answer.status >= 400:
                problem = await answer.json(content_type=None)
                raise Refusal(answer.status, problem["code"])
            return answer.headers.get("Location", "")

    async def upload(self, blob: bytes) -> str:
        """The path of the complete blob; raises Refusal."""
        digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
        made = {"Upload-Length": str(len(blob)), "Upload-Metadata": f"sha256 {digest}"}
        path = await self._call("POST", "/v1/blobs", b"", made, None)
        piece = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        try:
            await self._call("PATCH", path, blob, piece, 0)
        except Refusal:
            await self.delete(path)
            raise
        return path

    async def delete(self, path: str) -> None:
        """The blob is gone; raises Refusal."""
        await self._call("DELETE", path, b"", {}, None)


async def fill_with_envelopes(relay: RelayProcess, http: aiohttp.ClientSession, cast: Cast) -> None:
    """Full, refused with a code; read and acknowledged all the same; then taken again, without a restart."""
    sender, recipient = cast.senders[0], cast.asleep[0]
    sending = asyncio.create_task(sender.run(http, relay.origin))
    await until(
        lambda: sender.refusals["storage_full"] > 0, FULL_WITHIN_SECONDS, "the relay never said storage_full"
    )
    accepted = sender.accepted
    print(f"database full after {accepted} envelopes: storage_full")
    reading = asyncio.create_task(recipient.run(http, relay.origin))
    await until(lambda: recipient.received >= accepted, FULL_WITHIN_SECONDS, "what was stored did not come")
    took = await until(
        lambda: sender.accepted > accepted,
        FULL_WITHIN_SECONDS,
        "there is room again, and the relay takes nothing",
    )
    cast.ledger.restarted(took)
    print(f"{recipient.received} read and acknowledged; taken again {took:.1f} s after the last of them")
    sender.stop.set()
    await sending
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def _upload_when_taken(uploader: Uploader, blob: bytes) -> tuple[str, float]:
    """The path, and the seconds until the relay took it; raises NotFull if it never does."""
    began = time.monotonic()
    for _ in range(int(FULL_WITHIN_SECONDS / POLL_SECONDS)):
        try:
            return await uploader.upload(blob), time.monotonic() - began
        except Refusal as refusal:
            if refusal.code != "storage_full":
                raise
        await asyncio.sleep(POLL_SECONDS)
    raise NotFull("there is room, and the relay takes no blob")


async def fill_with_blobs(
    http: aiohttp.ClientSession, device: Device, ledger: Ledger, random: Random
) -> None:
    """Full, refused with a code; deleted all the same; then taken again."""
    uploader = Uploader(http, device, random)
    paths = [(await _upload_when_taken(uploader, random.randbytes(BLOB_BYTES)))[0]]
    code = ""
    while not code:
        try:
            paths.append(await uploader.upload(random.randbytes(BLOB_BYTES)))
        except Refusal as refusal:
            code = refusal.code
    if code != "storage_full" or len(paths) > DISK_BYTES // BLOB_BYTES:
        raise NotFull(f"after {len(paths)} blobs the relay said {code}")
    for path in paths:
        await uploader.delete(path)
    _, took = await _upload_when_taken(uploader, random.randbytes(BLOB_BYTES))
    ledger.restarted(took)
    print(f"blobs full after {len(paths)} of {BLOB_BYTES} bytes: storage_full;")
    print(f"all of them deleted while full; taken again {took:.1f} s later")


async def run(data: Path, log: Path, seed: int) -> Ledger:
    """Both, on one relay that is never restarted."""
    random = Random(seed)
    # what the store does when nothing fits is tried here, so uploads are not refused before that (tests/unit/test_relay_load.py)
    relay = RelayProcess(data, log, environment={"TOKENIM_RELAY_SHED__DISK_FREE_BYTES": "0"})
    ledger = Ledger()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http,
        relay,
    ):
        await relay.start()
        box = Mailbox("ann", await register(http, await relay.create_invite(), random))
        sender = Sender("to ann", [box], ledger, random, largest_bytes=32_768)
        cast = Cast(ledger, [sender], [], [Recipient(box, ledger)], None, random)
        await fill_with_envelopes(relay, http, cast)
        await fill_with_blobs(http, box.device, ledger, random)
        await settle(relay, http, cast)
        if (code := await relay.stop()) != 0:
            ledger.integrity(f"the relay ended with {code} after SIGTERM")
        check_integrity(data, ledger)
    return ledger


def main() -> int:
    """0 if every promise was kept; 0 with the reason where it cannot be tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenim-full-") as name:
        try:
            with small_disk(Path(name), DISK_BYTES) as disk:
                ledger = asyncio.run(run(disk / "data", Path(name) / "relay.log", arguments.seed))
        except NotPossible as reason:
            print(f"a full disk was not tried: {reason}")
            return 0
        except NotFull as failure:
            print(f"a full disk: {failure}", file=sys.stderr)
            return 1
    for violation in ledger.violations()[:20]:
        print(violation, file=sys.stderr)
    counts = ledger.counts()
    print(f"a full disk: {counts['accepted']} accepted, {counts['lost']} lost, {counts['twice']} twice")
    return 1 if ledger.violations() else 0


if __name__ == "__main__":
    sys.exit(main())
