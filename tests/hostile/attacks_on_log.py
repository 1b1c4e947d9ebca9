"""A relay that lies with its transparency log: forks it, shrinks it, forgets, proves nothing, shows each their own."""

from collections.abc import Sequence

from client.account import Account
from client.store.database import Transaction
from client.store.log_rows import all_evidence, keep_head
from client.transparency.known_log import Judged
from crypto.manifest import SignedManifest
from crypto.transparency import SignedHead
from relay.wire.links import encode_id
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import ManifestObject
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_device_lists import (
    account_of,
    following,
    says_there_is_a_newer_list,
    with_keys_of,
)
from tests.hostile.forged_log import ForgedLog, manifest_entry
from tests.hostile.intruder import Intruder
from tests.hostile.middleman import Exchange
from tests.hostile.stage import Person, Stage


def _unconnected(
    tx: Transaction, account: Account, head: SignedHead, proof: Sequence[bytes], now_ms: int
) -> Judged:
    """Takes any head that the relay signed."""
    keep_head(tx, head)
    return Judged()


NO_PROOF = Guard("client.transparency.log_check.connect", _unconnected)
NO_COMPARISON = Guard("client.transparency.known_log.compare_heads", nothing)
NO_MEMORY = Guard("client.transparency.log_check._is_older", lambda head, before: False)


async def _keeps_both(stage: Stage, person: Person, kind: str) -> None:
    """The alarm is told, and both signed heads are kept."""
    await person.listens()
    stage.tells(person, kind)
    async with person.store() as store:
        rows = [row for row in await store.read(all_evidence) if row.kind == kind]
    heads = [SignedHead.parse(data) for data in (rows[0].known, rows[0].other)]
    stage.holds(len({head.body for head in heads}) == 2, "both heads are kept")


@attack(NO_PROOF)
async def forks_its_log(stage: Stage) -> None:
    """goes on with a log that has another leaf in an earlier place"""
    alice, bob = await stage.people("alice", "bob")
    log = ForgedLog.of(stage)
    log.log.leaves[0] += b", forged"
    log.takes_over()
    await stage.refuses(alice, alice.says(bob, "hello"), "log_split")
    await _keeps_both(stage, alice, "log_split")


@attack(NO_COMPARISON)
async def signs_two_heads_of_one_size(stage: Stage) -> None:
    """signs two heads of its log, of one size and with two roots"""
    bob, alice = await stage.people("bob", "alice")  # Alice came last: her head is of this very size
    log = ForgedLog.of(stage)
    log.log.leaves[0] += b", forged"
    log.takes_over()
    await stage.refuses(alice, alice.says(bob, "hello"), "log_split")
    await _keeps_both(stage, alice, "log_split")


@attack(NO_COMPARISON, NO_MEMORY, NO_PROOF)
async def shrinks_its_log(stage: Stage) -> None:
    """signs a later head of a smaller log"""
    bob, alice = await stage.people("bob", "alice")
    log = ForgedLog.of(stage)
    log.log.leaves.pop()
    log.takes_over()
    await stage.refuses(alice, alice.says(bob, "hello"), "log_split")
    await _keeps_both(stage, alice, "log_split")


@attack(NO_MEMORY)
async def answers_from_a_log_of_before(stage: Stage) -> None:
    """answers with a head of its log from before the one that it gave last"""
    bob, alice = await stage.people("bob", "alice")
    log = ForgedLog.of(stage)
    before_ms = log.log.time_ms - 60_000
    log.log.leaves.pop()
    log.head = log.log.head(time_ms=before_ms)
    log.takes_over()
    await stage.refuses(alice, alice.says(bob, "hello"), "log_rolled_back")
    await _keeps_both(stage, alice, "log_rolled_back")


@attack(Guard("client.trust.verify_manifest_logged", nothing))
async def shows_a_list_that_its_log_does_not_have(stage: Stage) -> None:
    """shows a device list, with a device added by a stolen manager key, that is not in its log"""
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    entries = [*account.own.manifest.devices, intruder.entry(0)]
    _shows_to_others(stage, bob, following(account.own, entries, account.local.signing, bob.device_id))
    with_keys_of(stage, intruder)
    await stage.refuses(alice, alice.says(bob, "hello"), "log_refused")


def _shows_to_others(stage: Stage, person: Person, signed: SignedManifest) -> None:
    """Whoever asks with a token, and so is not the owner, gets this manifest as the newest."""

    def answer(exchange: Exchange) -> None:
        if not exchange.signed:
            told = exchange.json
            wire = ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature))
            told["manifests"].append(wire.model_dump(mode="json"))
            told["latest"] = signed.manifest.version
            exchange.json = told

    stage.relay.changes_answers("GET", f"/v1/accounts/{encode_id(person.account_id)}/manifests", answer)


@attack(Guard("client.mailbox_round.hear_gossip", nothing))
async def shows_contacts_who_talk_another_list_and_another_log(stage: Stage) -> None:
    """shows a contact a device list that the owner never made, and a log of its own that has it"""
    alice, bob = await stage.people("alice", "bob")
    await alice.says(bob, "hello")
    await bob.listens()
    await bob.says(alice, "hello yourself")
    await alice.listens()
    await alice.says(bob, "we know each other")
    await bob.listens()
    await stage.people("somebody")  # whose leaf the forged one takes the place of
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    entries = [*account.own.manifest.devices, intruder.entry(0)]
    forged = following(account.own, entries, account.local.signing, bob.device_id)
    log = ForgedLog.of(stage)
    log.replace_last(manifest_entry(forged))
    _shows_to_others(stage, bob, forged)
    log.takes_over(from_devices=False)
    with_keys_of(stage, intruder)
    says_there_is_a_newer_list(stage, bob, 2)
    await alice.says(bob, "the relay says that you have a new device")
    await alice.says(bob, "now it reads this too")
    stage.relay.stops()
    await bob.listens()
    stage.tells(bob, "split_view")
    async with bob.store() as store:
        kinds = {row.kind for row in await store.read(all_evidence)}
    stage.holds("split_view" in kinds, "what proves it is kept")
