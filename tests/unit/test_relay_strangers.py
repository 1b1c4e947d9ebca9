"""What strangers may bring: never a mailbox full, never without work, and nothing of it for those who have a token."""

import hashlib
import os

import pytest

from client.work import Piece, find_work
from relay.adapters.memory_clock import ManualClock
from relay.config import LimitSettings, Rate, RateSettings
from relay.ports.delivery_tokens import TokenClass
from relay.services.reach import Reachable
from relay.services.strangers import Strangers, stranger_budget
from relay.wire import limits
from relay.wire.frames import EnvelopeClass, Grant, Outcome, Submit, Target
from relay.wire.work import begins_with_zeros, is_enough_work

ACCOUNT, DEVICE, TOKEN = bytes(32), bytes(16), b"t" * 16
DAY_SECONDS = 86_400
NO_WORK = LimitSettings.model_validate({"public_work_bits": 0})
TOKEN_RATE = RateSettings.model_validate({}).token


def reached_by(token_class: TokenClass | None) -> Reachable:
    token_hash = None if token_class is None else hashlib.sha256(bytes((token_class,))).digest()
    return Reachable(ACCOUNT, 1, frozenset({DEVICE}), token_class, token_hash)


def submit(size: int = 32, *, envelope_id: bytes | None = None, work: tuple[bytes, ...] = ()) -> Submit:
    return Submit(
        1,
        envelope_id or os.urandom(16),
        EnvelopeClass.DURABLE,
        False,
        60,
        (bytes(size),),
        (Target(DEVICE, 0, 0),),
        (Grant(ACCOUNT, TOKEN, 1),),
        work,
    )


def flood(strangers: Strangers, token_class: TokenClass, size: int = 32) -> int:
    """Submit until the first refusal; how many were taken."""
    taken = 0
    while (refused := strangers.refusal(submit(), 0, reached_by(token_class), size)) is None:
        taken += 1
        assert taken < 100_000, "nothing bounds them"
    assert refused is Outcome.BUDGET_SPENT
    return taken


@pytest.mark.parametrize("size", [1, 8_192, 8_193, limits.MAX_ENVELOPE_BYTES])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mailbox_envelopes": 500},
        {"mailbox_bytes": limits.MAX_ENVELOPE_BYTES * 8},
        {"max_ttl_seconds": 3_600},
        {"stranger_burst": 1_000_000},
    ],
    ids=str,
)
async def test_c1_e6_thirty_days_of_flood_by_both_classes_leave_most_of_a_mailbox_free(size, settings):
    lowered = LimitSettings.model_validate({"public_work_bits": 0, **settings})
    clock = ManualClock()
    strangers = Strangers(lowered, TOKEN_RATE, clock=clock)
    waiting: list[tuple[int, int]] = []  # (when it expires, bytes)
    most_envelopes = most_bytes = 0
    step = lowered.max_ttl_seconds / 40
    for _ in range(100):
        for token_class in (TokenClass.PUBLIC, TokenClass.LINK):
            taken = flood(strangers, token_class, size)
            waiting += [(clock.monotonic_ms() + lowered.max_ttl_seconds * 1_000, size)] * taken
        waiting = [entry for entry in waiting if entry[0] > clock.monotonic_ms()]
        most_envelopes = max(most_envelopes, len(waiting))
        most_bytes = max(most_bytes, sum(size for _, size in waiting))
        await clock.advance(seconds=step)
    share = 2 * limits.STRANGER_MAILBOX_PERCENT / 100
    assert most_envelopes <= lowered.mailbox_envelopes * share
    assert most_bytes <= lowered.mailbox_bytes * share
    assert size > 8_192 or most_envelopes > 0


def test_a_first_message_fits_many_times_and_the_largest_envelope_once_or_more():
    burst, seconds = stranger_budget(NO_WORK)
    assert burst * limits.STRANGER_UNIT_BYTES >= limits.MAX_ENVELOPE_BYTES
    assert burst >= 50
    assert seconds < 3_600


def test_e6_each_class_of_strangers_and_the_contacts_have_budgets_of_their_own():
    strangers = Strangers(NO_WORK, TOKEN_RATE, clock=ManualClock())
    flood(strangers, TokenClass.PUBLIC)
    assert flood(strangers, TokenClass.LINK) == stranger_budget(NO_WORK)[0]
    for token_class in (TokenClass.CONTACT, TokenClass.GROUP, None):
        assert strangers.refusal(submit(), 0, reached_by(token_class), 32) is None


def test_e6_a_contact_token_has_a_wide_budget_by_token():
    strangers = Strangers(NO_WORK, Rate(burst=5, per_second=1), clock=ManualClock())
    assert flood(strangers, TokenClass.CONTACT) == 5
    assert flood(strangers, TokenClass.GROUP) == 5
    assert strangers.refusal(submit(), 0, reached_by(None), 32) is None


@pytest.mark.parametrize("token_class", [TokenClass.CONTACT, TokenClass.LINK])
def test_e6_of_a_run_that_brings_too_much_the_first_get_what_is_left(token_class: TokenClass):
    settings = LimitSettings.model_validate({"stranger_burst": 3})
    strangers = Strangers(settings, Rate(burst=3, per_second=0.001), clock=ManualClock())
    refusals = [None, Outcome.UNKNOWN_DEVICE, None, None, None]
    strangers.refuse_run([submit()] * 5, reached_by(token_class), refusals)
    assert refusals == [None, Outcome.UNKNOWN_DEVICE, None, None, Outcome.BUDGET_SPENT]
    again = [None, Outcome.UNKNOWN_DEVICE]
    strangers.refuse_run([submit()] * 2, reached_by(token_class), again)
    assert again == [Outcome.BUDGET_SPENT, Outcome.UNKNOWN_DEVICE]


async def test_a_spent_budget_fills_again():
    clock = ManualClock()
    strangers = Strangers(NO_WORK, TOKEN_RATE, clock=clock)
    flood(strangers, TokenClass.LINK)
    await clock.advance(seconds=stranger_budget(NO_WORK)[1] + 1)
    assert flood(strangers, TokenClass.LINK) == 1


BITS = 10
WORKING = LimitSettings.model_validate({"public_work_bits": BITS})


def work_for(
    envelope_id: bytes, *, account_id: bytes = ACCOUNT, token: bytes = TOKEN, bits: int = BITS
) -> bytes:
    found = find_work(Piece(envelope_id, account_id, token, bits), given_up=lambda: False)
    assert found is not None
    return found


def answered(sent: Submit, settings: LimitSettings = WORKING, token_class: TokenClass = TokenClass.PUBLIC):
    strangers = Strangers(settings, TOKEN_RATE, clock=ManualClock())
    return strangers.refusal(sent, 0, reached_by(token_class), 32)


def test_work_opens_a_public_token_and_its_lack_does_not():
    envelope_id = os.urandom(16)
    assert answered(submit(envelope_id=envelope_id, work=(work_for(envelope_id),))) is None
    assert answered(submit(envelope_id=envelope_id)) is Outcome.WORK_REQUIRED
    assert answered(submit(envelope_id=envelope_id, work=(b"",))) is Outcome.WORK_REQUIRED
    assert answered(submit(envelope_id=envelope_id), NO_WORK) is None
    assert answered(submit(envelope_id=envelope_id), token_class=TokenClass.LINK) is None


def test_work_for_another_envelope_account_or_token_and_too_little_is_none():
    envelope_id = bytes(range(16))
    other = bytes(range(1, 17))
    for work in (
        work_for(other),
        work_for(envelope_id, account_id=b"a" * 32),
        work_for(envelope_id, token=b"u" * 16),
        work_for(envelope_id, bits=0),
        work_for(envelope_id) + b"\0",
        work_for(envelope_id)[:-1],
    ):
        assert answered(submit(envelope_id=envelope_id, work=(work,))) is Outcome.WORK_REQUIRED


def test_what_brings_no_work_takes_nothing_from_the_budget():
    strangers = Strangers(WORKING, TOKEN_RATE, clock=ManualClock())
    for _ in range(1_000):
        assert strangers.refusal(submit(), 0, reached_by(TokenClass.PUBLIC), 32) is Outcome.WORK_REQUIRED
    envelope_id = os.urandom(16)
    worked = submit(envelope_id=envelope_id, work=(work_for(envelope_id),))
    assert strangers.refusal(worked, 0, reached_by(TokenClass.PUBLIC), 32) is None


@pytest.mark.parametrize(
    ("first_bytes", "zeros"), [("ff", 0), ("7f", 1), ("01", 7), ("0080", 8), ("000001", 23), ("00000080", 24)]
)
def test_zero_bits_are_counted_from_the_most_significant(first_bytes: str, zeros: int):
    digest = bytes.fromhex(first_bytes).ljust(32, b"\xff")
    assert begins_with_zeros(digest, zeros)
    assert not begins_with_zeros(digest, zeros + 1)


def test_work_is_given_up_when_nobody_wants_it():
    piece = Piece(bytes(16), ACCOUNT, TOKEN, 32)
    asked = iter([False, False, True])
    assert find_work(piece, given_up=lambda: next(asked)) is None


def test_every_found_work_is_enough():
    for number in range(20):
        envelope_id = bytes((number,)) * 16
        work = work_for(envelope_id, bits=8)
        assert is_enough_work(work, 8, envelope_id=envelope_id, account_id=ACCOUNT, token=TOKEN)
