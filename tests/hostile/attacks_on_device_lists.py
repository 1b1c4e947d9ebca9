"""A relay that lies about who is who: manifests of its own, of others, of yesterday, two at once; and about handles."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256

from client.account import Account, load_account, save_account
from client.system import this_machine
from client.transport import Transport
from crypto.keys import SigningKeyPair
from crypto.manifest import DeviceEntry, SignedManifest, build_manifest, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.transparency import LeafType, handle_subject, leaf
from relay.wire.frames import Accepted, ManifestVersion, RelayFrame, Submit
from relay.wire.links import encode_bytes, encode_id
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import ManifestObject, ManifestRequest, ManifestsAnswer
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_prekeys import BUNDLES
from tests.hostile.forged_log import ForgedLog, manifest_entry
from tests.hostile.intruder import Intruder
from tests.hostile.middleman import Exchange, Line
from tests.hostile.stage import Person, Stage

NO_SIGNERS = Guard("crypto.manifest_chain._verify_signer", nothing)


async def account_of(person: Person) -> Account:
    """With its private keys: what a thief of the device has, or its owner."""
    async with person.store() as store:
        return await store.read(load_account)


def following(
    chain: VerifiedManifest, entries: Iterable[DeviceEntry], key: SigningKeyPair, signer: bytes
) -> SignedManifest:
    """The next version with these devices, signed by any key in the name of any device."""
    body = build_manifest(chain.manifest.root_public, chain.version + 1, chain.hash, entries)
    return sign_manifest(body, key, signer)


async def put_list(stage: Stage, signer: Account, signed: SignedManifest) -> None:
    """Put the next manifest in place at the relay, as its signer would."""
    wire = ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature))
    async with Transport(stage.relay.origin, this_machine(), signer) as transport:
        await transport.ask(
            "POST", "/v1/accounts/self/manifests", body=ManifestRequest(manifest=wire), signed=True
        )


async def publish(stage: Stage, person: Person, signed: SignedManifest) -> Account:
    """The owner's next manifest, at the relay and in its own store."""
    account = await account_of(person)
    await put_list(stage, account, signed)
    longer = account.with_chain(verify_chain(account.account_id, account.own, [signed]))
    async with person.store() as store:
        await store.run(lambda tx: save_account(tx, longer))
    return longer


def shows_of(stage: Stage, person: Person, *chain: SignedManifest) -> None:
    """From now on the relay answers with these for this account's device list."""

    def answer(exchange: Exchange) -> None:
        objects = [ManifestObject.of(WireManifest(one.body, one.signer, one.signature)) for one in chain]
        told = ManifestsAnswer.model_validate_json(exchange.body)
        told = told.model_copy(update={"manifests": objects, "latest": chain[-1].manifest.version})
        exchange.body = told.model_dump_json().encode()

    stage.relay.changes_answers("GET", f"/v1/accounts/{encode_id(person.account_id)}/manifests", answer)


def with_keys_of(stage: Stage, intruder: Intruder) -> None:
    """From now on bundles come with those of the intruder's device."""

    def add(exchange: Exchange) -> None:
        answer = exchange.json
        answer["bundles"].append(intruder.bundle())
        exchange.json = answer

    stage.relay.changes_answers(*BUNDLES, add)


def says_there_is_a_newer_list(stage: Stage, person: Person, version: int) -> None:
    """From now on each submit is answered with a hint at this version of the person's device list."""

    def hint(line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
        behind = (ManifestVersion(person.account_id, version),)
        for frame in frames:
            if isinstance(frame, Accepted):
                frame = Accepted(frame.request_id, frame.outcomes, behind)
            yield frame

    stage.relay.changes_frames(hint)


async def _adds_a_device(stage: Stage, signer: str) -> None:
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    name = bob.device_id if signer == "bob" else intruder.device.device_id
    entries = [*account.own.manifest.devices, intruder.entry(bob.system.now_ms())]
    forged = following(account.own, entries, intruder.device.signing, name)
    shows_of(stage, bob, account.own.newest, forged)
    with_keys_of(stage, intruder)
    await stage.refuses(alice, alice.says(bob, "hello"), "devices_refused")


@attack(NO_SIGNERS)
async def adds_a_device_in_the_owners_name(stage: Stage) -> None:
    """adds a device, with a signature that is not the owner's"""
    await _adds_a_device(stage, "bob")


@attack(NO_SIGNERS)
async def adds_a_device_signed_by_itself(stage: Stage) -> None:
    """adds a device, signed by that device"""
    await _adds_a_device(stage, "intruder")


@attack(NO_SIGNERS)
async def adds_a_device_signed_by_a_removed_manager(stage: Stage) -> None:
    """adds a device, signed by a manager that was removed"""
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    own, sign = account.own, account.local.signing
    stolen = Intruder.of(bob.account_id, bob.system.now_ms())
    with_stolen = [*own.manifest.devices, stolen.entry(bob.system.now_ms())]
    account = await publish(stage, bob, following(own, with_stolen, sign, bob.device_id))
    account = await publish(stage, bob, following(account.own, own.manifest.devices, sign, bob.device_id))
    back = following(account.own, with_stolen, stolen.device.signing, stolen.device.device_id)
    shows_of(stage, bob, *account.own.chain, back)
    with_keys_of(stage, stolen)
    await stage.refuses(alice, alice.says(bob, "hello"), "devices_refused")


@attack(NO_SIGNERS)
async def swaps_the_keys_of_a_device(stage: Stage) -> None:
    """swaps identity and signing key of a device in the first device list"""
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    intruder = intruder.using(replace(intruder.device, device_id=bob.device_id))
    body = build_manifest(account.own.manifest.root_public, 1, None, [intruder.entry(0)])
    shows_of(stage, bob, SignedManifest(body, b"", account.own.newest.signature))

    def swap(exchange: Exchange) -> None:
        exchange.json = {**exchange.json, "bundles": [intruder.bundle()]}

    stage.relay.changes_answers(*BUNDLES, swap)
    await stage.refuses(alice, alice.says(bob, "hello"), "devices_refused")


@attack(Guard("crypto.manifest_chain._verify_keys_stay", nothing))
async def swaps_the_keys_of_a_known_device(stage: Stage) -> None:
    """swaps the keys of a device that is known, with a stolen manager key"""
    alice, bob = await stage.people("alice", "bob")
    await alice.says(bob, "hello")
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    swapped = intruder.using(replace(intruder.device, device_id=bob.device_id))
    forged = following(account.own, [swapped.entry(0)], account.local.signing, bob.device_id)
    shows_of(stage, bob, account.own.newest, forged)
    says_there_is_a_newer_list(stage, bob, 2)
    await stage.refuses(alice, alice.says(bob, "again"), "devices_refused")


def _without_forks(walked: VerifiedManifest, signed: SignedManifest) -> VerifiedManifest:
    """What comes second is not looked at."""
    if signed.manifest.version <= walked.version:
        return walked
    return VerifiedManifest(walked.account_id, (*walked.chain, signed))


@attack(Guard("crypto.manifest_chain._step", _without_forks))
async def forks_a_device_list(stage: Stage) -> None:
    """shows two device lists of one version, both signed with a stolen manager key"""
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    own, sign = account.own, account.local.signing
    first = await publish(stage, bob, following(own, own.manifest.devices, sign, bob.device_id))
    await alice.says(bob, "hello")
    other = following(own, [*own.manifest.devices, intruder.entry(0)], sign, bob.device_id)
    shows_of(stage, bob, other)
    says_there_is_a_newer_list(stage, bob, 2)
    await stage.refuses(alice, alice.says(bob, "again"), "devices_forked")
    await alice.listens()
    stage.tells(alice, "devices_forked")
    async with alice.store() as store:
        evidence = await store.read(lambda tx: tx.one("SELECT fork FROM peers WHERE fork IS NOT NULL")[0])
    stage.holds(first.own.newest.body in evidence and other.body in evidence, "both objects are kept")


def _believes_the_newest_answer(
    account_id: bytes, known: VerifiedManifest | None, chain: Sequence[SignedManifest]
) -> VerifiedManifest:
    return VerifiedManifest(account_id, tuple(chain))


@attack(
    Guard("client.trust.believe", _believes_the_newest_answer),
    Guard("client.trust.verify_manifest_logged", nothing),
)
async def rolls_a_device_list_back(stage: Stage) -> None:
    """answers with the device list of before a removal"""
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    own, sign = account.own, account.local.signing
    lost = Intruder.of(bob.account_id, bob.system.now_ms())
    both = [*own.manifest.devices, lost.entry(0)]
    before = await publish(stage, bob, following(own, both, sign, bob.device_id))
    await publish(stage, bob, following(before.own, own.manifest.devices, sign, bob.device_id))
    await alice.says(bob, "hello")
    shows_of(stage, bob, *before.own.chain)
    with_keys_of(stage, lost)
    says_there_is_a_newer_list(stage, bob, 4)
    targets: list[bytes] = []

    def watch(line: Line, frames: Sequence[object]) -> Sequence[object]:
        targets.extend(
            one.device_id for frame in frames if isinstance(frame, Submit) for one in frame.targets
        )
        return frames

    stage.relay.changes_submits(watch)  # type: ignore[arg-type]
    await alice.says(bob, "again")
    await alice.says(bob, "and again")
    stage.holds(
        set(targets) == {bob.device_id}, "alice writes to the devices that bob has now, and to no other"
    )
    await bob.listens()
    await stage.reads(bob, alice, "hello", "again", "and again")
    stage.nothing_told(alice, bob)


@attack(Guard("client.trust.believe", _believes_the_newest_answer))
async def answers_with_the_device_list_of_another(stage: Stage) -> None:
    """answers with the device list of another account"""
    alice, bob, mallory = await stage.people("alice", "bob", "mallory")
    other = await account_of(mallory)
    shows_of(stage, bob, other.own.newest)
    # Mallory helps the relay: keys of her device that are signed for Bob's account.
    keys = Intruder.of(bob.account_id, bob.system.now_ms()).using(
        replace(other.local, account_id=bob.account_id)
    )

    def swap(exchange: Exchange) -> None:
        exchange.json = {**exchange.json, "bundles": [keys.bundle()]}

    stage.relay.changes_answers(*BUNDLES, swap)
    await stage.refuses(alice, alice.says(bob, "hello"), "devices_refused")


@attack(Guard("crypto.session_start._require_own", nothing))
async def shows_a_contact_a_list_that_its_owner_never_made(stage: Stage) -> None:
    """shows one contact a device list with a device added by a stolen manager key, and the owner the true one"""
    alice, bob = await stage.people("alice", "bob")
    account = await account_of(bob)
    intruder = Intruder.of(bob.account_id, bob.system.now_ms())
    entries = [*account.own.manifest.devices, intruder.entry(0)]
    forged = following(account.own, entries, account.local.signing, bob.device_id)
    await stage.people("somebody")  # whose leaf the forged one takes the place of
    log = ForgedLog.of(stage)
    log.replace_last(manifest_entry(forged))
    shows_of(stage, bob, account.own.newest, forged)
    log.takes_over()
    with_keys_of(stage, intruder)
    await alice.says(bob, "hello")
    stage.relay.stops()
    await bob.listens()
    stage.tells(bob, "split_view")


def _says_that_a_handle_is_of(stage: Stage, handle: str, person: Person) -> None:
    account = stage.relay.answer_to("GET", f"/v1/handles/{person.handle}").json

    def lie(exchange: Exchange) -> None:
        exchange.json = account

    stage.relay.changes_answers("GET", f"/v1/handles/{handle}", lie)


async def _logs_that_a_handle_is_of(stage: Stage, handle: str, person: Person) -> None:
    """The same, and its log has it so."""
    await stage.people("somebody")  # whose leaf the forged one takes the place of
    log, salt = ForgedLog.of(stage), bytes(16)
    token = stage.relay.answer_to("GET", f"/v1/handles/{person.handle}").json["public_token"]
    index = log.replace_last(
        leaf(LeafType.HANDLE, handle_subject(salt, handle), 1, sha256(person.account_id).digest())
    )

    def lie(exchange: Exchange) -> None:
        exchange.json = {
            "account_id": encode_bytes(person.account_id),
            "public_token": token,
            "version": 1,
            "salt": encode_bytes(salt),
            "inclusion": log.inclusion(index),
        }

    log.takes_over()
    stage.relay.changes_answers("GET", f"/v1/handles/{handle}", lie)


@attack(Guard("client.recipients.verify_handle_logged", nothing))
async def puts_another_account_behind_a_handle_beside_its_log(stage: Stage) -> None:
    """puts another account behind a handle, which its log does not have"""
    alice, bob, mallory = await stage.people("alice", "bob", "mallory")
    await bob.says(mallory, "hello")
    _says_that_a_handle_is_of(stage, bob.handle, mallory)
    await stage.refuses(alice, alice.says(bob, "for bob alone"), "log_refused")


@attack(Guard("client.contact_book.safety_number", lambda own, other: "00000" * 12))
async def puts_another_account_behind_a_handle(stage: Stage) -> None:
    """puts another account behind a handle that was never asked for, in its log, too"""
    alice, bob, mallory = await stage.people("alice", "bob", "mallory")
    await bob.says(mallory, "hello")
    await bob.says(alice, "hello")
    await _logs_that_a_handle_is_of(stage, bob.handle, mallory)
    await alice.says(bob, "for bob alone")
    await mallory.listens()
    async with alice.client() as client:
        at_alice = (await client.safety_number(bob.handle)).digits
    async with bob.client() as client:
        at_bob = (await client.safety_number(alice.handle)).digits
    stage.holds("for bob alone" in mallory.texts(), "mallory reads what was for bob")
    stage.holds(at_alice != at_bob, "the numbers differ")
    stage.shows(f"the safety numbers differ: alice sees {at_alice[:10]}…, bob sees {at_bob[:10]}…")


@attack(
    Guard("client.recipients.find_by_handle", lambda tx, handle: None),
    Guard("client.recipients.verify_handle_logged", nothing),
)
async def gives_a_known_handle_to_another(stage: Stage) -> None:
    """puts another account behind the handle of a contact"""
    alice, bob, mallory = await stage.people("alice", "bob", "mallory")
    await alice.says(bob, "hello")
    await bob.says(mallory, "hello")
    _says_that_a_handle_is_of(stage, bob.handle, mallory)
    await alice.says(bob, "for bob alone")
    await mallory.listens()
    await bob.listens()
    await stage.reads(bob, alice, "hello", "for bob alone")
    stage.holds(mallory.texts() == ["hello"], "mallory reads nothing of it")
