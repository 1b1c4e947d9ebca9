"""Sessions and device lists: what a set-up says of both accounts' manifests, and what is refused for it."""

import pytest

from crypto.errors import (
    InvalidKey,
    ManifestGap,
    ManifestRefused,
    SplitView,
    UnknownDevice,
)
from crypto.keys import LocalDevice
from crypto.manifest_chain import verify_chain
from crypto.sealed_first_message import open_setup
from crypto.session_start import receive_setup
from crypto.sessions import PeerSessions
from tests.crypto_people import NOW_MS, Person


@pytest.fixture
def alice() -> Person:
    return Person("alice")


@pytest.fixture
def bob() -> Person:
    return Person("bob")


def test_the_stranger_learns_the_senders_manifest_from_the_envelope(alice: Person, bob: Person) -> None:
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    assert bob.known[alice.account].newest == alice.manifest.newest


@pytest.mark.proves("M-SHAKE-09", "M-SHAKE-11")
def test_a10_a_set_up_that_names_a_manifest_we_never_made_is_a_split_view(alice: Person, bob: Person) -> None:
    intruder = LocalDevice.generate(bob.account, bob.random)
    shown_to_alice = bob.next_manifest([bob.device, intruder])
    alice.known[bob.account] = verify_chain(bob.account, bob.manifest, [shown_to_alice])
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    before = dict(bob.peers), bob.prekeys
    with pytest.raises(SplitView):
        bob.receive(envelope)
    assert (dict(bob.peers), bob.prekeys) == before
    ours = bob.next_manifest([bob.device, LocalDevice.generate(bob.account, bob.random)])
    bob.manifest = verify_chain(bob.account, bob.manifest, [ours])
    with pytest.raises(SplitView):
        bob.receive(envelope)


@pytest.mark.proves("M-SHAKE-06")
def test_a_device_that_left_the_manifest_is_refused(alice: Person, bob: Person) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    other = LocalDevice.generate(alice.account, alice.random)
    bob.known[alice.account] = verify_chain(alice.account, alice.manifest, [alice.next_manifest([other])])
    with pytest.raises(UnknownDevice):
        bob.receive(envelope)


@pytest.mark.proves("M-SHAKE-05")
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "stranger"])
def test_a10_a_set_up_that_names_a_manifest_beside_its_senders_chain_is_refused(
    alice: Person, bob: Person, is_known: bool
) -> None:
    """All else in it is good: keys and transcript are those of the named manifest, the chain that comes along is the true one."""
    newer = alice.next_manifest([alice.device, LocalDevice.generate(alice.account, alice.random)])
    true = verify_chain(alice.account, alice.manifest, [newer])
    beside = alice.next_manifest([alice.device, LocalDevice.generate(alice.account, alice.random)])
    alice.manifest = verify_chain(alice.account, alice.manifest, [beside])
    alice.start(bob)
    alice.manifest = true
    envelope = alice.send(bob, b"hello")
    if is_known:
        bob.known[alice.account] = true
    before = dict(bob.peers), dict(bob.known), bob.prekeys
    with pytest.raises(ManifestRefused, match="another version 2"):
        bob.receive(envelope)
    assert (dict(bob.peers), dict(bob.known), bob.prekeys) == before
    alice.start(bob)
    assert bob.receive(alice.send(bob, b"hello, now as I am")) == b"hello, now as I am"


@pytest.mark.proves("M-SHAKE-05")
def test_a_set_up_that_names_a_version_above_its_senders_chain_is_not_opened(
    alice: Person, bob: Person
) -> None:
    shown = alice.manifest
    alice.manifest = verify_chain(alice.account, shown, [alice.next_manifest([alice.device])])
    alice.start(bob)
    alice.manifest = shown
    with pytest.raises(ManifestGap, match="version 2 is newer"):
        bob.receive(alice.send(bob, b"hello"))


def test_a_message_from_before_the_newest_manifest_opens(alice: Person, bob: Person) -> None:
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    other = LocalDevice.generate(alice.account, alice.random)
    newest = verify_chain(alice.account, alice.manifest, [alice.next_manifest([alice.device, other])])
    bob.known[alice.account] = newest
    assert bob.receive(envelope) == b"hello"
    assert bob.known[alice.account] is newest


def test_a_stale_own_chain_asks_before_it_alarms(alice: Person, bob: Person) -> None:
    newer = bob.next_manifest([bob.device, LocalDevice.generate(bob.account, bob.random)])
    current = verify_chain(bob.account, bob.manifest, [newer])
    alice.known[bob.account] = current
    alice.start(bob)
    content = open_setup(alice.send(bob, b"hello"), bob.prekeys, bob.account, bob.device.device_id)
    peer = bob.sessions_with(alice)
    arguments = (None, bob.prekeys)
    with pytest.raises(ManifestGap):
        receive_setup(
            peer, content, bob.device, bob.manifest, *arguments, own_is_current=False, now_ms=NOW_MS
        )
    result = receive_setup(
        peer, content, bob.device, current, *arguments, own_is_current=False, now_ms=NOW_MS
    )
    assert result.plaintext == b"hello"


def test_an_account_with_a_long_chain_still_reaches_who_knows_it(alice: Person, bob: Person) -> None:
    for _ in range(70):
        signed = alice.next_manifest([alice.device], signer=alice.device)
        alice.manifest = verify_chain(alice.account, alice.manifest, [signed])
    alice.start(bob)
    envelope = alice.send(bob, b"hello")
    with pytest.raises(ManifestRefused):
        bob.receive(envelope)
    bob.known[alice.account] = verify_chain(alice.account, None, alice.manifest.chain[:20])
    assert bob.receive(envelope) == b"hello"
    assert bob.known[alice.account].version == 71


def test_manifests_that_are_missing_between_are_asked_for(alice: Person, bob: Person) -> None:
    bob.known[alice.account] = alice.manifest
    for signer in (alice.device, None):
        alice.manifest = verify_chain(
            alice.account, alice.manifest, [alice.next_manifest([alice.device], signer=signer)]
        )
    alice.start(bob)
    with pytest.raises(ManifestGap) as caught:
        bob.receive(alice.send(bob, b"hello"))
    assert caught.value.known_version == 1


def test_a_set_up_by_the_device_itself_is_refused(alice: Person) -> None:
    alice.start(alice)
    with pytest.raises(InvalidKey):
        alice.receive(alice.send(alice, b"to myself"))


def test_a_set_up_is_for_the_device_whose_sessions_are_given(alice: Person, bob: Person) -> None:
    alice.start(bob)
    content = open_setup(alice.send(bob, b"hello"), bob.prekeys, bob.account, bob.device.device_id)
    with pytest.raises(InvalidKey, match="another device"):
        receive_setup(
            PeerSessions(alice.account, bytes(16)),
            content,
            bob.device,
            bob.manifest,
            None,
            bob.prekeys,
            own_is_current=True,
            now_ms=NOW_MS,
        )
