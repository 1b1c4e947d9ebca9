"""Chapters Session set-up, Set-up envelope, Envelopes and padding, Ratchet, Contents: the client talks with the kit's own peer.

What two clients of one make agree on says nothing of the document; what this peer computes does (client_suite/peer.py).
"""

from dataclasses import replace

from client.conformance.client_suite.peer import LAST_RESORT, ONCE, Peer
from client.conformance.client_suite.peer_keys import Pair
from client.conformance.client_suite.peer_ratchet import ANSWER, OFFER, OFFER_AFTER_STEPS
from client.conformance.client_suite.person import Person
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed


async def with_peer(setting: Setting, *, has_one_time: bool = True) -> tuple[Peer, Person]:
    """The peer, and Ann who may talk with it."""
    ann = await setting.person("ann")
    return Peer(setting, ann, has_one_time), ann


@CLIENT_SUITE.case("client-writes-to-our-peer")
async def writes_to_our_peer(setting: Setting) -> None:
    """The client begins with the kit's own peer, which opens set-up and texts by its own computation, and shows its answer."""
    peer, ann = await with_peer(setting)
    for text in ("one", "zwei, drei: ÄÖÜ ✓"):
        await ann.call("send", to="peer", text=text)
        await peer.read(text)
    peer.write("answer")
    await peer.shown("answer")
    await ann.call("send", to="peer", text="two")
    await peer.read("two")
    peer.write("again")
    await peer.shown("answer", "again")


@CLIENT_SUITE.case("client-answers-our-peer")
async def answers_our_peer(setting: Setting) -> None:
    """The kit's own peer begins from the bundle that the client published; the client shows its texts, and its answers open."""
    peer, ann = await with_peer(setting)
    peer.begin()
    peer.write("one")
    peer.write("two")
    await peer.shown("one", "two")
    await ann.call("send", to="peer", text="answer")
    await peer.read("answer")
    peer.write("three")
    await peer.shown("one", "two", "three")
    await ann.call("send", to="peer", text="again")
    await peer.read("again")


@CLIENT_SUITE.case("client-writes-by-last-resort")
async def writes_by_last_resort(setting: Setting) -> None:
    """Begins with the kit's own peer by a bundle without one-time keys: three agreements, and the last-resort KEM prekey."""
    peer, ann = await with_peer(setting, has_one_time=False)
    await ann.call("send", to="peer", text="the last resort")
    await peer.read("the last resort")
    peer.write("answer")
    await peer.shown("answer")


@CLIENT_SUITE.case("client-answers-by-last-resort")
async def answers_by_last_resort(setting: Setting) -> None:
    """The kit's own peer begins by the client's bundle when no one-time key is left in it; the client shows it and answers."""
    peer, ann = await with_peer(setting)
    peer.theirs.prekeys = [one for one in peer.theirs.prekeys if one.key_class != ONCE]
    peer.begin()
    peer.write("the last resort")
    await peer.shown("the last resort")
    await ann.call("send", to="peer", text="answer")
    await peer.read("answer")


_FLAG_AT, _CLASS_AT = 136, 141
"""In the set-up values: whether there is a one-time prekey, and the class of the KEM prekey."""


def _with(packed: bytes, at: int, value: int) -> bytes:
    return packed[:at] + bytes((value,)) + packed[at + 1 :]


@CLIENT_SUITE.case(
    "client-refuses-odd-setups",
    proves=("M-SHAKE-03", "M-SHAKE-05", "M-SHAKE-07", "M-SHAKE-08", "M-SHAKE-09", "M-SHAKE-11"),
)
async def refuses_odd_setups(setting: Setting) -> None:
    """Refuses set-ups that agree on all but one thing that is wrong; no key is gone by them, for a good one by the same opens."""
    peer, ann = await with_peer(setting)
    peer.write_odd_setup("number 0", lambda agreed: replace(agreed, number=0))
    peer.write_odd_setup("number 1,001", lambda agreed: replace(agreed, number=1_001))
    peer.write_odd_setup(
        "another manifest of the peer", lambda agreed: replace(agreed, a=replace(agreed.a, body=b"another"))
    )
    peer.write_odd_setup(
        "another manifest of the client", lambda agreed: replace(agreed, b=replace(agreed.b, body=b"another"))
    )
    peer.write_odd_setup(
        "another class of the KEM prekey",
        lambda agreed: replace(agreed, kem=replace(agreed.kem, key_class=LAST_RESORT)),
    )
    peer.write_odd_setup("another class beside it", pack=lambda packed: _with(packed, _CLASS_AT, LAST_RESORT))
    peer.write_odd_setup("a flag of 2", pack=lambda packed: _with(packed, _FLAG_AT, 2))
    peer.write_odd_setup("a class of 1", pack=lambda packed: _with(packed, _CLASS_AT, 1))
    peer.begin()
    peer.write("good")
    await peer.shown("good")
    await ann.call("send", to="peer", text="answer")
    await peer.read("answer")


@CLIENT_SUITE.case("client-answers-a-post-quantum-step", proves=("M-RATCHET-09",))
async def answers_a_step(setting: Setting) -> None:
    """An ML-KEM key that the peer offers is answered by the client's next chain, whose root step mixes the secret in."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="begin")
    await peer.read("begin")
    ratchet = peer.ratchet
    shown: list[str] = []
    for text in ("first", "second"):
        ratchet.offers_next = True
        peer.write(f"{text} offer")
        shown.append(f"{text} offer")
        await peer.shown(*shown)
        await ann.call("send", to="peer", text=text)
        await peer.read(text)
        if not ratchet.seen_flags & ANSWER or ratchet.steps:
            raise Failed("the chain after an offer has to carry the ciphertext")
    peer.write("done")
    await peer.shown(*shown, "done")


@CLIENT_SUITE.case("client-offers-a-post-quantum-step", proves=("M-RATCHET-10",))
async def offers_a_step(setting: Setting) -> None:
    """Offers an ML-KEM key with the 20th root step, refuses a chain without its ciphertext, and goes on by the right one."""
    peer, ann = await with_peer(setting)
    peer.begin()
    ratchet, shown = peer.ratchet, list[str]()
    while not ratchet.seen_flags & OFFER:
        shown.append(f"ping {len(shown)}")
        peer.write(shown[-1])
        await peer.shown(*shown)
        await ann.call("send", to="peer", text=f"pong {len(shown)}")
        await peer.read(f"pong {len(shown)}")
        if len(shown) > OFFER_AFTER_STEPS:
            raise Failed("the client offers no post-quantum step")
    peer.write_odd("without the secret", ratchet.without_answer())
    for text in ("with the secret", "and on"):
        peer.write(text)
        shown.append(text)
        await peer.shown(*shown)
        await ann.call("send", to="peer", text=text)
        await peer.read(text)


@CLIENT_SUITE.case("client-pads-as-written", proves=("M-ENV-03",))
async def pads_as_written(setting: Setting) -> None:
    """Texts of many lengths come in the smallest bucket that holds them, padded with zeros: set-up and ratchet envelopes."""
    peer, ann = await with_peer(setting)
    texts = ["x" * length for length in (1, 40, 120, 300, 700, 1_000, 1_777, 5_000, 20_000)]
    for text in texts:
        await ann.call("send", to="peer", text=text)
        await peer.read(text)
    peer.write("answer")
    await peer.shown("answer")
    for text in texts:
        await ann.call("send", to="peer", text=text)
        await peer.read(text)


@CLIENT_SUITE.case("client-refuses-odd-padding", proves=("M-ENV-01", "M-ENV-02", "M-RATCHET-03"))
async def refuses_odd_padding(setting: Setting) -> None:
    """Refuses what is sealed well, with padding that is not zeros, in no size of a bucket, or with odd bytes in its header."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="begin")
    await peer.read("begin")
    peer.write("good")
    await peer.shown("good")
    peer.write_odd("padding that is not zeros", filler=b"\x01")
    peer.write_odd("a size that is no bucket", size=513)
    peer.write_odd("an odd byte in the header", last=b"\x01")
    peer.write("good, too")
    await peer.shown("good", "good, too")


@CLIENT_SUITE.case("client-shows-an-edit", proves=("M-CONTENT-02",))
async def shows_an_edit(setting: Setting) -> None:
    """Shows the newer text of a message that an edit names by its reference, and passes over one with another reference."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="begin")
    await peer.read("begin")
    message = peer.write("teh first")
    await peer.shown("teh first")
    peer.edit(message, "the first")
    await peer.shown("the first")
    peer.edit(replace(message, reference=bytes(32)), "of another reference")
    peer.write("the second")
    await peer.shown("the first", "the second")
    await ann.call("send", to="peer", text="answer")
    await peer.read("answer")


@CLIENT_SUITE.case(
    "client-refuses-odd-messages", proves=("M-RATCHET-04", "M-RATCHET-05", "M-RATCHET-06", "M-CONTENT-01")
)
async def refuses_odd_messages(setting: Setting) -> None:
    """Refuses a number too far ahead, another key in a known chain, a second chain, contents of no place in the conversation."""
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="begin")
    await peer.read("begin")
    peer.write(
        "good"
    )  # with all that follows: a receipt for it would begin a chain, after which a second one is none
    peer.write_odd("too far ahead", ahead=10_001)
    peer.write_odd("another ratchet key in a known chain", public=Pair().public)
    peer.write_odd("a second chain of the peer", peer.ratchet.second_chain())
    peer.write_odd("of another conversation", numbering={"conversation_id": bytes(32)})
    peer.write_odd("not counted", numbering={"counter": -1, "last": b""})
    peer.write("good, too")
    await peer.shown("good", "good, too")
    await ann.call("send", to="peer", text="answer")
    await peer.read("answer")
