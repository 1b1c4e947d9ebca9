"""A relay that does what it likes with prekeys: other ones, old ones, too few, the same twice."""

from functools import partial

from crypto.limits import DAY_MS
from crypto.local_prekeys import LocalPrekeys
from crypto.prekeys import KeyClass, KeyKind, SignedKey
from relay.wire.links import encode_bytes
from relay.wire.resources import PrekeysRequest
from tests.chatting import machine_that_is_late
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.intruder import FIELDS, Intruder
from tests.hostile.middleman import Answers, Exchange
from tests.hostile.stage import Person, Stage

BUNDLES = "POST", "/v1/accounts/*/bundles"
NO_SIGNATURES = Guard("crypto.prekeys.SignedKey.verify", nothing)
NO_AGES = Guard("crypto.prekeys._verify_age", nothing)


async def _gives_a_key_of_its_own(stage: Stage, kind: KeyKind) -> None:
    alice, bob = await stage.people("alice", "bob")
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    stage.relay.changes_answers(*BUNDLES, partial(_put, **{FIELDS[kind]: intruder.key(kind)}))
    await stage.refuses(alice, alice.says(bob, "hello"), "bad_prekeys")


@attack(NO_SIGNATURES)
async def swaps_the_signed_prekey(stage: Stage) -> None:
    """gives a signed prekey of its own"""
    await _gives_a_key_of_its_own(stage, KeyKind.SIGNED)


@attack(NO_SIGNATURES)
async def swaps_the_kem_prekey(stage: Stage) -> None:
    """gives an ML-KEM key of its own"""
    await _gives_a_key_of_its_own(stage, KeyKind.KEM)


@attack(NO_SIGNATURES)
async def swaps_the_one_time_prekey(stage: Stage) -> None:
    """gives a one-time prekey of its own"""
    await _gives_a_key_of_its_own(stage, KeyKind.ONE_TIME)


@attack(NO_SIGNATURES)
async def swaps_the_sealing_key(stage: Stage) -> None:
    """gives a sealing key of its own, to see who writes"""
    await _gives_a_key_of_its_own(stage, KeyKind.SEALING)


@attack(NO_SIGNATURES)
async def gives_the_keys_of_another_device(stage: Stage) -> None:
    """gives all keys of another person's device"""
    alice, bob, mallory = await stage.people("alice", "bob", "mallory")
    await alice.says(mallory, "hello")
    others = stage.relay.answer_to(*BUNDLES).json["bundles"][0]

    def swap(exchange: Exchange) -> None:
        answer = exchange.json
        answer["bundles"] = [{**others, "device_id": encode_bytes(bob.device_id)}]
        exchange.json = answer

    stage.relay.changes_answers(*BUNDLES, swap)
    await stage.refuses(alice, alice.says(bob, "hello"), "bad_prekeys")


def _put(exchange: Exchange, **fields: str | None) -> None:
    """Other keys in the one bundle of an answer."""
    answer = exchange.json
    answer["bundles"][0].update(fields)
    exchange.json = answer


@attack(cannot="there is no way to begin a session without an ML-KEM key")
async def strips_the_kem_prekey(stage: Stage) -> None:
    """leaves the ML-KEM key out"""
    alice, bob = await stage.people("alice", "bob")
    stage.relay.changes_answers(*BUNDLES, partial(_put, kem_prekey=None))
    await stage.refuses(alice, alice.says(bob, "hello"), "relay_misbehaved")


def _last_resort_of(stage: Stage) -> str:
    """The last-resort key that a device last published."""
    published = PrekeysRequest.model_validate_json(stage.relay.answer_to("POST", "/v1/prekeys").asked).keys
    keys = [SignedKey.parse(key) for key in published]
    return encode_bytes(next(key for key in keys if key.key_class is KeyClass.LAST_RESORT).encode())


@attack(Guard("client.first_envelope._has_stock", lambda prekeys: False))
async def keeps_one_time_prekeys_back(stage: Stage) -> None:
    """keeps one-time keys back and gives the last-resort key"""
    alice, bob = await stage.people("alice", "bob")
    weaker = partial(_put, kem_prekey=_last_resort_of(stage), one_time_prekey=None)
    stage.relay.changes_answers(*BUNDLES, weaker)
    await alice.says(bob, "hello")
    await bob.listens()
    await stage.reads(bob, alice, "hello")
    stage.tells(bob, "last_resort_key")


def _kept(prekeys: LocalPrekeys, used: object) -> LocalPrekeys:
    return prekeys


@attack(Guard("crypto.local_prekeys.LocalPrekeys.without", _kept))
async def gives_a_one_time_prekey_twice(stage: Stage) -> None:
    """gives one and the same one-time keys to two askers"""
    alice, bob, carol = await stage.people("alice", "bob", "carol")
    await alice.says(bob, "hello")
    same = stage.relay.answer_to(*BUNDLES).json

    def repeat(exchange: Exchange) -> None:
        exchange.json = same

    stage.relay.changes_answers(*BUNDLES, repeat)
    await carol.says(bob, "hello from carol")
    await bob.listens()
    stage.tells(bob, "unopened")
    await stage.reads(bob, alice, "hello")


def _later(person: Person, days: float) -> None:
    """This person's machine is so many days on."""
    person.system = machine_that_is_late(round(-days * DAY_MS))


async def _rotates(stage: Stage, person: Person) -> None:
    """Listens until its new keys are at the relay."""
    async with person.online():
        await stage.until(lambda: any(one.is_of("POST", "/v1/prekeys") for one in stage.relay.exchanges))


async def _bundle_before_a_rotation(stage: Stage, days: int) -> tuple[Person, Person, Answers]:
    """Alice and Bob, who changed his keys after so many days; and the answer that repeats what he had before."""
    alice, bob, carol = await stage.people("alice", "bob", "carol")
    await carol.says(bob, "hello")
    old = stage.relay.answer_to(*BUNDLES).json
    for person in (alice, bob):
        _later(person, days)
    stage.relay.exchanges.clear()
    await _rotates(stage, bob)

    def repeat(exchange: Exchange) -> None:
        exchange.json = old

    return alice, bob, repeat


@attack(NO_AGES)
async def gives_an_old_bundle_again(stage: Stage) -> None:
    """gives an older bundle than the one before"""
    alice, bob, repeat = await _bundle_before_a_rotation(stage, 7)
    await alice.says(bob, "hello")
    stage.relay.changes_answers(*BUNDLES, repeat)
    _later(alice, 15)  # what was begun and never answered is begun anew
    await stage.refuses(alice, alice.says(bob, "hello again"), "dormant_device")


@attack(NO_AGES)
async def gives_keys_that_are_too_old(stage: Stage) -> None:
    """gives a stranger the keys of 46 days ago"""
    alice, bob, repeat = await _bundle_before_a_rotation(stage, 46)
    stage.relay.changes_answers(*BUNDLES, repeat)
    await stage.refuses(alice, alice.says(bob, "hello"), "dormant_device")


@attack(
    Guard("client.envelopes._warn", nothing),
    Guard("client.draft_worker.Deliveries.failed", lambda self, numbers, error: self.accepted(numbers)),
)
async def has_no_prekeys_to_give(stage: Stage) -> None:
    """says that a device has no keys"""
    alice, bob = await stage.people("alice", "bob")

    def empty(exchange: Exchange) -> None:
        exchange.json = {**exchange.json, "bundles": []}

    stage.relay.changes_answers(*BUNDLES, empty)
    await stage.refuses(alice, alice.says(bob, "hello"), "no_prekeys")
