"""Chapter Push wakeups, as a client does it: the level push. The kit plays the relay that wakes by a webhook."""

import os
from typing import Any, Final

from client.conformance.client_suite.cases.peer import with_peer
from client.conformance.client_suite.checks import now_ms
from client.conformance.client_suite.peer import Peer
from client.conformance.client_suite.person import Person, Refused
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import to_base64

_TARGET: Final = "https://push.example/wake?device=1"


async def _asleep(setting: Setting) -> tuple[Peer, Person, bytes]:
    """Ann, who knows the peer, has registered a webhook and is not connected; the token of her wakeups."""
    setting.house.push_kinds.append("webhook")
    peer, ann = await with_peer(setting)
    await ann.call("send", to="peer", text="wake me")
    await peer.read("wake me")
    for target in (f"{_TARGET}0", _TARGET):
        await ann.call("wake", target=target)
    push = peer.theirs.push
    if push is None or (push.asked["kind"], push.asked["target"]) != ("webhook", _TARGET):
        raise Failed(f"expected a registration of the webhook {_TARGET}, got {push and push.asked}")
    await ann.call("stop")
    return peer, ann, push.token


async def _wake(
    setting: Setting,
    ann: Person,
    token: bytes,
    *,
    target: str = _TARGET,
    damage: int = 0,
    signed: bytes = b"",
) -> None:
    """`signed`: the token under the signature, where it is another one; `damage`: of the signature."""
    time_ms = now_ms()
    signature = bytearray(setting.house.sign_wakeup(target, time_ms, signed or token))
    signature[0] ^= damage
    await ann.call("woken", body=to_base64(token), time=time_ms, signature=to_base64(bytes(signature)))


@CLIENT_SUITE.case("client-woken", level="push")
async def woken(setting: Setting) -> None:
    """Registers where it is woken, the last one in place of the one before, and when it is woken has what waited."""
    peer, ann, token = await _asleep(setting)
    before = setting.resumes(ann)
    peer.write("good morning")
    await _wake(setting, ann, token)
    await peer.shown("good morning")
    if setting.resumes(ann) <= before:
        raise Failed("expected that it takes its mailbox when it is woken")


@CLIENT_SUITE.case("client-odd-wakeups", level="push")
async def odd_wakeups(setting: Setting) -> None:
    """Stays away for what no relay of its own sent: another token, another signature, one for another registration."""
    peer, ann, token = await _asleep(setting)
    before = setting.resumes(ann)
    peer.write("good morning")
    old = setting.house.pushes[0].token
    odd: dict[str, tuple[bytes, dict[str, Any]]] = {
        "another token": (os.urandom(16), {}),
        "the token of the registration before": (old, {}),
        "a damaged signature": (token, {"damage": 1}),
        "a signature over another token": (token, {"signed": old}),
        "a signature for another target": (token, {"target": f"{_TARGET}0"}),
    }
    for what, (shown, how) in odd.items():
        try:
            await _wake(setting, ann, shown, **how)
        except Refused:
            continue
        raise Failed(f"{what}: expected an error, and the client woke")
    if setting.resumes(ann) != before:
        raise Failed("expected that it takes its mailbox for a wakeup of its relay alone")
    await _wake(setting, ann, token)
    await peer.shown("good morning")
