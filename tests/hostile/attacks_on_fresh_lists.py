"""A relay that keeps newer device lists back: a contact goes on seeing the one of before a device was added, or removed."""

from collections.abc import Iterable, Sequence

from crypto.manifest import SignedManifest
from relay.wire.frames import Accepted, ClientFrame, Outcome, RelayFrame, Submit
from relay.wire.links import encode_id
from relay.wire.resources import ManifestsAnswer
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_mail import acquainted
from tests.hostile.attacks_on_own_devices import linked
from tests.hostile.forged_log import ForgedLog
from tests.hostile.middleman import Exchange, Line
from tests.hostile.stage import Person, Stage

NO_GOSSIP = Guard("client.mailbox_round.hear_gossip", nothing)


def _freezes(stage: Stage, person: Person, version: int) -> None:
    """From now on others see this person's list of this version, proved by the true log, and no word of a newer one."""

    def cut(exchange: Exchange) -> None:
        if exchange.signed:
            return
        answer = ManifestsAnswer.model_validate_json(exchange.body)
        older = [one for one in answer.manifests if _version(one.signed_manifest().body) <= version]
        told = answer.model_copy(update={"manifests": older, "latest": version})
        exchange.body = told.model_dump_json().encode()

    def says_nothing(line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
        for frame in frames:
            if isinstance(frame, Accepted):
                taken = tuple(
                    Outcome.STORED if one is Outcome.UNKNOWN_DEVICE else one for one in frame.outcomes
                )
                frame = Accepted(frame.request_id, taken)
            yield frame

    stage.relay.changes_answers("GET", f"/v1/accounts/{encode_id(person.account_id)}/manifests", cut)
    stage.relay.changes_frames(says_nothing)
    ForgedLog.of(stage).takes_over(from_devices=False)


def _version(body: bytes) -> int:
    return SignedManifest(body, b"", bytes(64)).manifest.version


@attack(NO_GOSSIP)
async def keeps_back_that_a_device_was_added(stage: Stage) -> None:
    """goes on showing a contact the device list of before a device was added, so that this gets nothing"""
    alice, bob = await acquainted(stage)
    tablet = await linked(stage, bob)
    _freezes(stage, bob, 1)
    await alice.says(bob, "for all your devices")
    await tablet.listens()
    await bob.says(alice, "I have a tablet now")
    await alice.listens()
    if "for all your devices" in tablet.texts():
        raise RuntimeError("the relay kept nothing back")
    stage.tells(alice, "split_view")


@attack(NO_GOSSIP)
async def keeps_back_that_a_device_was_removed(stage: Stage) -> None:
    """goes on showing a contact the device list of before a device was removed, so that a thief's gets what is said"""
    alice, bob = await acquainted(stage)
    tablet = await linked(stage, bob)
    await bob.says(alice, "I have a tablet now")
    await alice.listens()
    await alice.says(bob, "for both of them")  # there is a session with the tablet from here on
    async with bob.client() as client:
        await client.devices.revoke(encode_id(tablet.device_id))
    _freezes(stage, bob, 2)
    targets: set[bytes] = set()

    def watch(line: Line, frames: Sequence[ClientFrame]) -> Sequence[ClientFrame]:
        for frame in frames:
            if isinstance(frame, Submit):
                targets.update(one.device_id for one in frame.targets)
        return frames

    stage.relay.changes_submits(watch)
    await alice.says(bob, "for bob alone")
    if tablet.device_id not in targets:
        raise RuntimeError("the relay kept nothing back")
    await bob.listens()  # which tells what changed, though its user says nothing
    await alice.listens()
    stage.tells(alice, "split_view")
