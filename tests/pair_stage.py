"""Conversations of devices as steps, played by `crypto`: what a step is given comes in, what it makes goes out.

The same steps record a conversation (`tests/vectors/generate_conversations.py`) and replay it from its file.
"""

from collections.abc import Callable
from typing import Any

from crypto import limits, sessions
from crypto.errors import CryptoError
from crypto.headers import IS_EPHEMERAL
from crypto.keys import LocalDevice, RootKeyPair, account_id
from crypto.linking import Answered, LinkAnswer, LinkDesk, LinkOffer, ScannedLink, begin_link, confirm_link
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.prekeys import Bundle, KeyClass, KeyKind, SignedKey
from crypto.sealed_first_message import open_setup
from crypto.session_start import receive_setup, start_session
from crypto.sessions import PeerSessions, Session
from tests.named_randomness import Draws, derandomised

Step = dict[str, Any]
Me = tuple[bytes, bytes]  # account id, device id
STANDING = {KeyKind.SIGNED: "signed", KeyKind.KEM: "kem_last_resort", KeyKind.SEALING: "sealing"}
STOCK = {KeyKind.KEM: "kem", KeyKind.ONE_TIME: "one_time"}


def changed(data: bytes, step: Step) -> bytes:
    """With one byte changed, if the step says which."""
    if (at := step.get("flip")) is None:
        return data
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


class Device:
    """One device, and all that its client would store."""

    def __init__(self, local: LocalDevice) -> None:
        self.local = local
        self.me: Me = (local.account_id, local.device_id)
        self.prekeys = LocalPrekeys()
        self.peers: dict[Me, PeerSessions] = {}
        self.known: dict[bytes, VerifiedManifest] = {}
        self.desk = LinkDesk()

    def peer(self, who: Me) -> PeerSessions:
        return self.peers.get(who) or PeerSessions(*who)


class PairStage:
    """Devices by name, and what the relay holds of them."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.accounts: dict[bytes, VerifiedManifest] = {}
        self.published: dict[str, dict[str, SignedKey]] = {}
        self.envelopes: dict[int, bytes] = {}
        self.offers: dict[str, LinkOffer] = {}
        self.answers: dict[str, tuple[bytes, Answered]] = {}
        self.opened: dict[str, tuple[LinkOffer, LinkAnswer]] = {}
        self.confirmations: dict[str, bytes] = {}
        self.count = 0

    def play(self, step: Step, draws: Draws) -> Step:
        """What the step gives, or the kind of its failure, which leaves everything as it was."""
        act: Callable[[Step, Draws], Step] = getattr(self, f"do_{step['action']}")
        number, self.count = self.count, self.count + 1
        try:
            with derandomised(draws):
                result = act(step, draws)
        except CryptoError as error:
            return {"error": type(error).__name__}
        if "envelope" in result:
            self.envelopes[number] = bytes.fromhex(result["envelope"])
        return result

    def name_of(self, me: Me) -> str:
        return next(name for name, device in self.devices.items() if device.me == me)

    # Accounts and prekeys

    def do_account(self, step: Step, draws: Draws) -> Step:
        root = RootKeyPair.generate(draws)
        local = LocalDevice.generate(account_id(root.public), draws)
        entry = device_entry(local, added_at_ms=step["now_ms"], manager=True)
        signed = sign_manifest(build_manifest(root.public, 1, None, [entry]), root)
        self.accounts[local.account_id] = verify_chain(local.account_id, None, [signed])
        self.devices[step["by"]] = Device(local)
        return {
            "account": local.account_id.hex(),
            "signing_public": local.signing.public.hex(),
            "identity_public": local.identity.public.hex(),
            "manifest": signed.encode().hex(),
        }

    def do_publish(self, step: Step, draws: Draws) -> Step:
        device, left = self.devices[step["by"]], limits.ONE_TIME_STOCK - step["one_time"]
        now_ms = step["now_ms"]
        made = LocalPrekeys().refresh(one_time_at_relay=left, kem_at_relay=left, now_ms=now_ms, random=draws)
        keys = made.to_upload(device.local)
        device.prekeys = made.uploaded(keys, now_ms=now_ms)
        self.published[step["by"]] = named = self._names(keys)
        return {"keys": {name: key.encode().hex() for name, key in named.items()}}

    @staticmethod
    def _names(keys: tuple[SignedKey, ...]) -> dict[str, SignedKey]:
        named: dict[str, SignedKey] = {}
        counts = dict.fromkeys(STOCK, 0)
        for key in keys:
            if key.key_class is KeyClass.ONE_TIME:
                counts[key.kind] += 1
                named[f"{STOCK[key.kind]}_{counts[key.kind]}"] = key
            else:
                named[STANDING[key.kind]] = key
        return named

    # Sessions

    def do_begin(self, step: Step, draws: Draws) -> Step:
        device, other = self.devices[step["by"]], self.devices[step["to"]].me
        chain = self.accounts[other[0]].chain
        device.known[other[0]] = verify_chain(other[0], device.known.get(other[0]), chain)
        before = device.peer(other)
        device.peers[other] = after = start_session(
            before,
            device.local,
            self.accounts[device.me[0]],
            device.known[other[0]],
            Bundle.of([self.published[step["to"]][name] for name in step["bundle"]]),
            fetched_at_ms=step["now_ms"],
            now_ms=step["now_ms"],
            random=draws,
        )
        (new,) = (one for one in after.sessions() if before.find(one.facts.session_id) is None)
        assert new.pending is not None
        return {
            "session_id": new.facts.session_id.hex(),
            "setup_number": new.facts.setup_number,
            "setup_values": new.pending.values.encode().hex(),
            "root_key": new.ratchet.root.root_key.hex(),
        }

    def do_send(self, step: Step, draws: Draws) -> Step:
        device, other = self.devices[step["by"]], self.devices[step["to"]].me
        is_ephemeral = step.get("ephemeral", False)
        device.peers[other], envelope = sessions.encrypt(
            device.peer(other),
            bytes.fromhex(step["plaintext"]),
            self.accounts[device.me[0]],
            now_ms=step["now_ms"],
            random=draws,
            ephemeral=is_ephemeral,
        )
        session = device.peers[other].active
        assert session is not None
        chain = session.ratchet.sending
        assert chain is not None
        return {
            "session_id": session.facts.session_id.hex(),
            "root_key": session.ratchet.root.root_key.hex(),
            "number": (chain.ephemeral_number if is_ephemeral else chain.number) - 1,
            "flags": chain.opening.kem_flags | (IS_EPHEMERAL if is_ephemeral else 0),
            "envelope": envelope.hex(),
        }

    def do_receive(self, step: Step, draws: Draws) -> Step:
        device = self.devices[step["by"]]
        envelope = changed(self.envelopes[step["envelope_of"]], step)
        read = self._receive_setup if envelope[:1] == b"\x01" else self._receive_message
        other, session, result = read(device, envelope, step["now_ms"])
        active = device.peers[other].active
        return {
            "from": self.name_of(other),
            "plaintext": result.plaintext.hex(),
            "opened_chain": result.info.opened_chain,
            "kem_step": result.info.kem_step,
            "session_id": session.facts.session_id.hex(),
            "is_active": active is not None and active.facts is session.facts,
            "root_key": session.ratchet.root.root_key.hex(),
        }

    def _receive_setup(self, device: Device, envelope: bytes, now_ms: int) -> tuple[Me, Session, Any]:
        content = open_setup(envelope, device.prekeys, *device.me)
        values = content.values
        other = values.account_id, values.device_id
        result = receive_setup(
            device.peer(other),
            content,
            device.local,
            self.accounts[device.me[0]],
            device.known.get(values.account_id),
            device.prekeys,
            own_is_current=True,
            now_ms=now_ms,
        )
        device.peers[other], device.prekeys = result.sessions, result.prekeys
        device.known[values.account_id] = result.peer_manifest
        (replay,) = (one for one in result.sessions.replays if one.values_digest == values.digest())
        session = result.sessions.find(replay.session_id)
        assert session is not None
        return other, session, result

    def _receive_message(self, device: Device, envelope: bytes, now_ms: int) -> tuple[Me, Session, Any]:
        located = sessions.locate_among(device.peers.items(), envelope)
        other, place = located or (next(iter(device.peers)), None)
        result = sessions.receive(device.peer(other), place, envelope, now_ms=now_ms)
        assert place is not None
        device.peers[other] = result.sessions
        session = result.sessions.find(place.session.facts.session_id)
        assert session is not None
        return other, session, result

    # Linking

    def do_link_request(self, step: Step, draws: Draws) -> Step:
        offer = begin_link(step["name"], draws, step["now_ms"])
        self.offers[step["by"]] = offer
        return {"request": offer.request.encode().hex(), "qr": offer.scanned.encode().hex()}

    def do_link_answer(self, step: Step, draws: Draws) -> Step:
        manager, offer = self.devices[step["by"]], self.offers[step["to"]]
        manager.desk, shown, sealed = manager.desk.answer(
            ScannedLink.parse(offer.scanned.encode()),
            changed(offer.request.encode(), step),
            manager.local,
            draws,
            step["scanned_at_ms"],
            step["now_ms"],
        )
        self.answers[step["to"]] = sealed, shown
        return {"answer": shown.answer.encode().hex(), "code": shown.code, "sealed_answer": sealed.hex()}

    def do_link_open(self, step: Step, draws: Draws) -> Step:
        offer, (sealed, _) = self.offers[step["by"]], self.answers[step["by"]]
        after, answer, code = offer.open_answer(changed(sealed, step), step["now_ms"])
        self.offers[step["by"]] = after
        self.confirmations[step["by"]] = confirmation = confirm_link(after, answer)
        local = after.device(answer.account)
        device = self.devices[step["by"]] = Device(local)
        device.known[answer.account] = self.accounts[answer.account]
        return {
            "account": answer.account.hex(),
            "manager": answer.device_id.hex(),
            "code": code,
            "confirmation": confirmation.hex(),
        }

    def do_link_confirm(self, step: Step, draws: Draws) -> Step:
        manager, (_, shown) = self.devices[step["by"]], self.answers[step["to"]]
        entry = shown.entry(changed(self.confirmations[step["to"]], step), step["now_ms"])
        before = self.accounts[manager.me[0]]
        listed = [*before.manifest.devices, entry]
        body = build_manifest(before.manifest.root_public, before.version + 1, before.hash, listed)
        signed = sign_manifest(body, manager.local.signing, manager.me[1])
        self.accounts[manager.me[0]] = verify_chain(manager.me[0], before, [signed])
        return {"manifest": signed.encode().hex(), "manifest_hash": signed.hash.hex()}
