"""Chapters Session set-up, Ratchet and Identity: keys that a relay tells wrong, envelopes that it changes."""

import os
from collections.abc import Callable
from typing import Any

from client.conformance.client_suite.house import Account, Mailbox
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import from_base64, to_base64

Change = Callable[[dict[str, Any]], dict[str, Any]]
_SIGNATURE_AT, _PUBLIC_AT = 20, 90
"""In a prekey: a byte of its signature, and one of its public key."""


def flipped(text: str, at: int) -> str:
    """The same bytes with one bit changed."""
    data = bytearray(from_base64(text))
    data[at] ^= 1
    return to_base64(bytes(data))


def _bundle_case(name: str, about: str, change: Change) -> None:
    async def body(setting: Setting) -> None:
        ann, bob = await setting.two()
        setting.script.bundle = change
        await setting.nothing_goes_to(ann, bob, asks="bundle")

    body.__doc__ = about
    CLIENT_SUITE.case(name, proves=("M-SHAKE-01",))(body)


for _key in ("signed_prekey", "kem_prekey", "one_time_prekey", "sealing_key"):
    _bundle_case(
        f"client-bundle-{_key.replace('_', '-')}-signature",
        f"Refuses a bundle whose {_key} bears a wrong signature: no envelope leaves.",
        lambda bundle, key=_key: {**bundle, key: flipped(bundle[key], _SIGNATURE_AT)},  # type: ignore[misc]
    )
    _bundle_case(
        f"client-bundle-{_key.replace('_', '-')}-changed",
        f"Refuses a bundle with another public key in its {_key} than was signed.",
        lambda bundle, key=_key: {**bundle, key: flipped(bundle[key], _PUBLIC_AT)},  # type: ignore[misc]
    )
_bundle_case(
    "client-bundle-kinds-swapped",
    "Refuses a bundle in which keys of two kinds, each well signed, stand in each other's place.",
    lambda bundle: {**bundle, "signed_prekey": bundle["one_time_prekey"]},
)


def bundle_of(account: Account, bundle: dict[str, Any]) -> dict[str, Any]:
    """The device and the keys of this account in the place of those of the bundle."""
    stolen = {one.kind: to_base64(one.encoded) for one in account.prekeys}
    names = {"signed_prekey": 1, "kem_prekey": 2, "one_time_prekey": 3, "sealing_key": 4}
    keys = {name: stolen[kind] for name, kind in names.items()}
    return {**bundle, **keys, "device_id": to_base64(account.device.device_id)}


@CLIENT_SUITE.case("client-bundle-of-another", proves=("M-SHAKE-01",))
async def bundle_of_another(setting: Setting) -> None:
    """Refuses the well-signed keys of another account in the place of those that it asked for."""
    ann, bob = await setting.two()
    carol = setting.account(await setting.person("carol"))
    setting.script.bundle = lambda bundle: {**bundle_of(carol, bundle), "device_id": bundle["device_id"]}
    await setting.nothing_goes_to(ann, bob, asks="bundle")


@CLIENT_SUITE.case("client-last-resort")
async def last_resort(setting: Setting) -> None:
    """Begins a session without one-time keys, too: by the last-resort KEM prekey."""
    ann, bob = await setting.two()
    account = setting.account(bob)
    account.prekeys = [one for one in account.prekeys if one.key_class != 2]
    await ann.call("send", to="bob", text="the last resort")
    await bob.until("the last resort")


def _damaged_first(box: Mailbox, envelope_id: bytes, ciphertext: bytes) -> None:
    for at in (0, 1, 5, 40, len(ciphertext) // 2, len(ciphertext) - 1):
        damaged = bytearray(ciphertext)
        damaged[at] ^= 1
        box.put(os.urandom(16), bytes(damaged))
    box.put(envelope_id, ciphertext)


@CLIENT_SUITE.case("client-damaged-setup", proves=("M-SHAKE-11",))
async def damaged_setup(setting: Setting) -> None:
    """Damaged copies of a set-up envelope change nothing: the whole one, which comes after them, opens."""
    ann, bob = await setting.two()
    setting.script.put = _damaged_first
    await ann.call("send", to="bob", text="whole")
    await bob.until("whole")
    await setting.acked(bob)


@CLIENT_SUITE.case("client-damaged-message", proves=("M-RATCHET-07",))
async def damaged_message(setting: Setting) -> None:
    """Damaged copies of a ratchet message change no state: the whole one, which comes after them, opens, both ways."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="begin")
    await bob.until("begin")
    await bob.call("send", to="ann", text="answer")
    await ann.until("answer")
    setting.script.put = _damaged_first
    await ann.call("send", to="bob", text="whole")
    await bob.until("begin", "whole")
    await bob.call("send", to="ann", text="whole, too")
    await ann.until("answer", "whole, too")
    await setting.acked(ann)


@CLIENT_SUITE.case("client-out-of-order")
async def out_of_order(setting: Setting) -> None:
    """Opens messages that come in another order than they were sent in: the keys of those between are kept."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="0")
    await bob.until("0")
    await bob.call("send", to="ann", text="answer")
    await ann.until("answer")
    held: list[tuple[bytes, bytes]] = []

    def keep_back(box: Mailbox, envelope_id: bytes, ciphertext: bytes) -> None:
        if box is setting.account(bob).mailbox:
            held.append((envelope_id, ciphertext))

    setting.script.put = keep_back
    for text in ("1", "2", "3"):
        await ann.call("send", to="bob", text=text)
    await setting.until(lambda: len(held) >= 3, "three envelopes")
    for one in reversed(held):
        setting.account(bob).mailbox.put(*one)
    await setting.acked(bob)
    shown = await bob.texts()
    if sorted(shown) != ["0", "1", "2", "3"]:
        raise Failed(f"expected the messages 0 to 3, each once, in whatever order, got {shown}")
