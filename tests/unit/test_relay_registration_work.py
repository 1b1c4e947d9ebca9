"""What an account without an invite costs, while few come and while many do."""

import hashlib
from dataclasses import dataclass, field

import pytest

from client.work import AccountPiece, find_account_work
from relay.adapters.memory_clock import ManualClock
from relay.services.registration_work import WorkForAccounts
from relay.wire.errors import WorkRequired
from relay.wire.resources import RegistrationWork
from relay.wire.transcripts import registration_work_transcript
from tests.contract.people import registration

ORIGIN = "https://chat.example"
MANIFEST = registration("anna").manifest


@dataclass
class Desk:
    """Where accounts are asked for, with so little work that a test can do it."""

    base: int = 4
    an_hour: int = 10
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.work = WorkForAccounts(
            origin=ORIGIN, clock=self.clock, base_bits=self.base, an_hour=self.an_hour
        )

    def proof(
        self, *, bits: int | None = None, origin: str = ORIGIN, late_ms: int = 0, manifest=MANIFEST
    ) -> RegistrationWork:
        """As a client finds it."""
        time_ms = self.clock.now_ms() - late_ms
        wanted = self.work.bits() if bits is None else bits
        piece = AccountPiece(origin, manifest.account_id, manifest.hash, time_ms, wanted)
        found = find_account_work(piece, given_up=lambda: False)
        assert found is not None
        return RegistrationWork(time_ms=time_ms, work=found)

    def come(self, count: int) -> None:
        for _ in range(count):
            self.work.count()


def zeros(work: RegistrationWork, origin: str = ORIGIN) -> int:
    hashed = registration_work_transcript(
        origin=origin,
        account_id=MANIFEST.account_id,
        manifest_hash=MANIFEST.hash,
        time_ms=work.time_ms,
        work=work.work,
    )
    return 256 - int.from_bytes(hashlib.sha256(hashed).digest(), "big").bit_length()


def test_enough_work_is_taken_and_none_or_too_little_is_not() -> None:
    desk = Desk()
    desk.work.check(desk.proof(), MANIFEST)
    with pytest.raises(WorkRequired, match="4 bits"):
        desk.work.check(None, MANIFEST)
    too_little = next(
        work
        for n in range(1_000)
        if zeros(work := RegistrationWork(time_ms=desk.clock.now_ms(), work=n.to_bytes(8, "big"))) < 4
    )
    with pytest.raises(WorkRequired, match="4 bits"):
        desk.work.check(too_little, MANIFEST)


def test_work_for_another_relay_account_or_time_is_worth_nothing() -> None:
    desk = Desk(base=12)
    for wrong in (
        desk.proof(origin="https://other.example"),
        desk.proof(manifest=registration("bert").manifest),
    ):
        with pytest.raises(WorkRequired):
            desk.work.check(wrong, MANIFEST)
    desk.work.check(desk.proof(late_ms=600_000), MANIFEST)
    for late_ms in (600_001, -600_001):
        with pytest.raises(WorkRequired, match="too old"):
            desk.work.check(desk.proof(late_ms=late_ms), MANIFEST)
    good = desk.proof()
    with pytest.raises(WorkRequired):
        desk.work.check(replace_time(good), MANIFEST)


def replace_time(work: RegistrationWork) -> RegistrationWork:
    return work.model_copy(update={"time_ms": work.time_ms + 1})


async def test_e6_the_work_grows_by_a_bit_each_time_that_accounts_double_and_shrinks_by_itself() -> None:
    desk = Desk()
    grown = []
    for come in (9, 1, 10, 20, 40, 80):
        desk.come(come)
        grown.append(desk.work.bits())
    assert grown == [4, 5, 6, 7, 8, 9]
    await desk.clock.advance(seconds=3_600)  # to a third or so
    assert desk.work.bits() == 7
    await desk.clock.advance(seconds=5 * 3_600)
    assert desk.work.bits() == 4


def test_no_relay_asks_for_more_than_24_bits_and_one_may_ask_for_none() -> None:
    desk = Desk(base=20, an_hour=1)
    desk.come(10_000)
    assert desk.work.bits() == 24
    desk.work.change(0, 1)
    desk.work.check(None, MANIFEST)
    assert desk.work.bits() == 0
