"""Chapters Delivery and The WebSocket protocol, as a client does them."""

import os

from client.conformance.client_suite.house import Account, Mailbox, Submit
from client.conformance.client_suite.person import Refused
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.socket_door import GOING_DOWN, REMOVED, REPLACED
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import CAUGHT_UP


@CLIENT_SUITE.case("client-talks-both-ways")
async def talks(setting: Setting) -> None:
    """Two clients write to each other, in order; envelopes have the sizes of buckets, and every one is acknowledged."""
    ann, bob = await setting.two()
    for text in ("one", "two", "three"):
        await ann.call("send", to="bob", text=text)
    await bob.until("one", "two", "three")
    await bob.call("send", to="ann", text="four")
    await ann.until("four")
    await ann.call("send", to="bob", text="five")
    await bob.until("one", "two", "three", "five")
    await setting.acked(ann)
    await setting.acked(bob)


@CLIENT_SUITE.case("client-same-bytes", proves=("M-DELIV-05",))
async def same_bytes(setting: Setting) -> None:
    """Whose connection ended before `accepted` came submits the same bytes under the same id; the other sees one message."""
    ann, bob = await setting.two()
    setting.script.lose_accepted = 2
    await ann.call("send", to="bob", text="once")
    await setting.until(
        lambda: len(setting.durable(bob)) >= 3, "the envelope a third time, after two answers were lost"
    )
    _all_the_same(setting.durable(bob)[:3])
    await bob.until("once")


@CLIENT_SUITE.case("client-same-bytes-after-kill", proves=("M-DELIV-05",))
async def same_bytes_after_kill(setting: Setting) -> None:
    """Killed before `accepted` came, submits the same bytes when it begins again."""
    ann, bob = await setting.two()
    setting.script.lose_accepted = 1_000
    await ann.call("send", to="bob", text="once, too")
    await setting.until(lambda: bool(setting.durable(bob)), "an envelope")
    await ann.kill()
    setting.script.lose_accepted = 0
    before = len(setting.durable(bob))
    await ann.begin()
    await ann.call("start")
    await setting.until(lambda: len(setting.durable(bob)) > before, "the envelope again")
    _all_the_same(setting.durable(bob))
    await bob.until("once, too")


def _all_the_same(submits: list[Submit]) -> None:
    shown = {(one.envelope_id, str(one.bytes_sent)) for one in submits}
    if len(shown) != 1:
        raise Failed(
            f"expected the same bytes under one id, got {len(shown)} envelopes in {len(submits)} submits"
        )


@CLIENT_SUITE.case("client-acks-what-it-keeps", proves=("M-DELIV-10",))
async def acks_what_it_keeps(setting: Setting) -> None:
    """Killed in the moment in which its ack comes, it has the message when it begins again."""
    ann, bob = await setting.two()
    killed: list[list[object]] = []

    def kill(account: Account, fields: list[object]) -> None:
        if account is setting.account(bob) and not killed:
            bob.kill_now()
            killed.append(fields)

    setting.script.acked = kill
    await ann.call("send", to="bob", text="kept")
    await setting.until(lambda: bool(killed), "an ack")
    await bob.kill()
    await bob.begin()
    await bob.call("start")
    await bob.until("kept")


@CLIENT_SUITE.case("client-forgotten-ack")
async def forgotten_ack(setting: Setting) -> None:
    """What comes again after its ack was lost is shown once, and acknowledged again."""
    ann, bob = await setting.two()
    box = setting.account(bob).mailbox
    await ann.call("send", to="bob", text="twice")
    await bob.until("twice")
    await setting.acked(bob)
    first = setting.durable(bob)[0]
    sequence = box.put(first.envelope_id, bytes(first.fields[5][0]))
    await setting.acked(bob, sequence)
    await ann.call("send", to="bob", text="after")
    await bob.until("twice", "after")


@CLIENT_SUITE.case("client-replay")
async def replay(setting: Setting) -> None:
    """The bytes of an old envelope under a new id are shown to nobody a second time, and acknowledged."""
    ann, bob = await setting.two()
    setting.script.put = _twice
    await ann.call("send", to="bob", text="first")
    await ann.call("send", to="bob", text="second")
    await bob.until("first", "second")
    await setting.acked(bob)
    await bob.until("first", "second")


def _twice(box: Mailbox, envelope_id: bytes, ciphertext: bytes) -> None:
    box.put(envelope_id, ciphertext)
    box.put(os.urandom(16), ciphertext)


@CLIENT_SUITE.case("client-acks-what-does-not-open")
async def acks_garbage(setting: Setting) -> None:
    """Acknowledges envelopes that nothing opens, of every kind and of none, and goes on."""
    ann, bob = await setting.two()
    box = setting.account(bob).mailbox
    for kind in (0, 1, 2, 3, 255):
        for size in (256, 2176, 257):
            box.put(os.urandom(16), bytes([kind, 1]) + os.urandom(size - 2))
    box.put(os.urandom(16), b"\x02")
    await setting.acked(bob)
    await ann.call("send", to="bob", text="real")
    await bob.until("real")


@CLIENT_SUITE.case("client-missed")
async def missed(setting: Setting) -> None:
    """Acknowledges `missed` like an envelope, and goes on."""
    ann, bob = await setting.two()
    setting.account(bob).mailbox.put_missed(1)
    await setting.acked(bob)
    await ann.call("send", to="bob", text="next")
    await bob.until("next")


@CLIENT_SUITE.case("client-waits-at-the-relay")
async def waits(setting: Setting) -> None:
    """Gets what came while it was away, in order, and resumes from what it has."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="here")
    await bob.until("here")
    await setting.acked(bob)
    await bob.end()
    for text in ("away 1", "away 2"):
        await ann.call("send", to="bob", text=text)
    await bob.begin()
    await bob.call("start")
    await bob.until("here", "away 1", "away 2")
    last = [after for account, after in setting.house.resumes if account == _id(setting, "bob")][-1]
    if not last:
        raise Failed("expected resume from the position that it has, got resume(0)")


def _id(setting: Setting, handle: str) -> bytes:
    return setting.house.handles[handle].manifest.account_id


@CLIENT_SUITE.case("client-comes-back")
async def comes_back(setting: Setting) -> None:
    """Connects again after the relay went down (1012), and nothing is lost or shown twice."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="before")
    await bob.until("before")
    before = len(setting.house.resumes)
    for one in list(setting.doors.connections):
        await one.notice(9)
        await one.end(GOING_DOWN, "shutting_down")
    await setting.until(lambda: len(setting.house.resumes) >= before + 2, "both clients resume")
    await ann.call("send", to="bob", text="behind")
    await bob.until("before", "behind")


@CLIENT_SUITE.case("client-replaced")
async def replaced(setting: Setting) -> None:
    """Whose mailbox another program took (4001) does not take it back by itself; begun again, it has what came, once."""
    ann, bob = await setting.two()
    before = setting.resumes(bob)
    await setting.connection(bob).end(REPLACED, "replaced")
    await ann.call("send", to="bob", text="meanwhile")
    await setting.until(lambda: bool(setting.durable(bob)), "an envelope")
    await setting.gives_up(bob, before)
    if setting.resumes(bob) != before:
        raise Failed("expected no resume of a client whose mailbox another program took")
    await bob.end()
    await bob.begin()
    await bob.call("start")
    await bob.until("meanwhile")


@CLIENT_SUITE.case("client-removed-device")
async def removed_device(setting: Setting) -> None:
    """A device that the relay knows no more (4004) stops, and sends nothing any more."""
    ann, bob = await setting.two()
    await bob.call("send", to="ann", text="still in")
    await ann.until("still in")
    before, resumed = len(setting.durable(ann)), setting.resumes(bob)
    setting.house.removed.add(setting.account(bob).device.device_id)
    await setting.connection(bob).end(REMOVED, "device_revoked")
    await setting.gives_up(bob, resumed)
    try:
        await bob.call("send", to="ann", text="out")
    except Refused:
        pass
    else:
        raise Failed("expected an error of a device that was removed")
    if len(setting.durable(ann)) != before:
        raise Failed("expected no envelope of a device that was removed")


@CLIENT_SUITE.case("client-unknown-frame", proves=("M-FRAME-01",))
async def unknown_frame(setting: Setting) -> None:
    """Goes no further on a connection with a frame of an unknown type, or with a field too many: it comes back on another one."""
    ann, bob = await setting.two()
    for frame in ([99, 1], [CAUGHT_UP, 0, 0]):
        connection, before = setting.connection(bob), setting.resumes(bob)
        await connection.send(frame)
        await setting.until(
            lambda resumed=before: setting.resumes(bob) > resumed,  # type: ignore[misc]  # mypy: "cannot infer"
            f"another connection than the one on which {frame} came",
            within=20,
        )
        await setting.until(
            lambda gone=connection: gone not in setting.doors.connections,  # type: ignore[misc]  # mypy: "cannot infer"
            f"the end of the connection on which {frame} came",
            within=20,
        )
    await ann.call("send", to="bob", text="behind")
    await bob.until("behind")


@CLIENT_SUITE.case("client-unknown-notice", proves=("M-VERS-01",))
async def unknown_notice(setting: Setting) -> None:
    """Ignores a kind of notice that it does not know: the connection stays."""
    ann, bob = await setting.two()
    connection = setting.connection(bob)
    await connection.notice(77, 5, b"later")
    await ann.call("send", to="bob", text="heard")
    await bob.until("heard")
    if setting.connection(bob) is not connection:
        raise Failed("expected the same connection as before the notice")
