"""Conversations of devices, step by step, played by the oracle; tests/vectors/README.md, "conversation_…"."""

from collections.abc import Callable
from typing import Any

from tests.oracle import ed25519, hpke, linking, manifests, prekeys, x25519
from tests.oracle.manifests import MANAGER
from tests.oracle.named_draws import NamedDraws
from tests.oracle.prekeys import KEM, ONE_TIME, SEALING, SIGNED, Prekey
from tests.oracle.refusals import Refused
from tests.oracle.sessions import OracleDevice, Session
from tests.oracle.transcripts import sha256

Step = dict[str, Any]
Me = tuple[bytes, bytes]
LINK_LIFETIME_MS = 60_000
STANDING = {"signed": (SIGNED, 1), "sealing": (SEALING, 1), "kem_last_resort": (KEM, 3)}
STOCK = {"kem": (KEM, 2), "one_time": (ONE_TIME, 2)}


def changed(data: bytes, step: Step) -> bytes:
    at = step.get("flip")
    return data if at is None else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


class Linking:
    """What both sides of one link know."""

    def __init__(self, keys: dict[str, bytes], asked: bytes, began_ms: int) -> None:
        self.keys, self.asked, self.began_ms = keys, asked, began_ms
        self.answered_ms: int | None = None
        self.sealed = self.nonce = self.confirmation = b""
        self.used = False


class OracleStage:
    """Devices by name, and what the relay holds of them."""

    def __init__(self) -> None:
        self.devices: dict[str, OracleDevice] = {}
        self.accounts: dict[bytes, list[manifests.Manifest]] = {}
        self.published: dict[str, dict[str, bytes]] = {}
        self.envelopes: dict[int, bytes] = {}
        self.links: dict[str, Linking] = {}
        self.count = 0

    def play(self, step: Step) -> Step:
        """What the step gives, or the kind of its refusal."""
        act: Callable[[Step, NamedDraws], Step] = getattr(self, f"do_{step['action']}")
        number, self.count = self.count, self.count + 1
        draws = NamedDraws(step["action"], step["random"])
        try:
            result = act(step, draws)
        except Refused as refused:
            return {"error": refused.kind}
        assert not draws.left, "more than is drawn"
        if "envelope" in result:
            self.envelopes[number] = bytes.fromhex(result["envelope"])
        return result

    def name_of(self, me: Me) -> str:
        return next(name for name, device in self.devices.items() if device.me == me)

    def device(self, me: Me, signing_seed: bytes, identity: bytes, draws: NamedDraws) -> OracleDevice:
        made = OracleDevice(*me, signing_seed, identity, draws)
        made.chain = self.accounts[me[0]]
        return made

    # Accounts and prekeys

    def do_account(self, step: Step, draws: NamedDraws) -> Step:
        root_seed, device, signing_seed, identity = draws(32), draws(16), draws(32), draws(32)
        root = ed25519.public_of(root_seed)
        account, signing = manifests.account_id(root), ed25519.public_of(signing_seed)
        public = x25519.public_of(identity)
        signed = linking.confirmation(account, device, signing_seed, public)
        entry = manifests.Device(device, signing, public, MANAGER, step["now_ms"], signed)
        made = manifests.make(root, 1, b"", [entry], root_seed)
        self.accounts[account] = manifests.verify_chain(account, [], [manifests.parse(made)])
        self.devices[step["by"]] = self.device((account, device), signing_seed, identity, draws)
        return {
            "account": account.hex(),
            "signing_public": signing.hex(),
            "identity_public": public.hex(),
            "manifest": made.hex(),
        }

    def do_publish(self, step: Step, draws: NamedDraws) -> Step:
        device = self.devices[step["by"]]
        owner = (*device.me, device.signing_seed)
        made: dict[str, Prekey] = {}
        for name in [*draws.left]:
            kind_name, _, count = name.rpartition("_")
            key_id = 1
            if name in STANDING:
                kind, key_class = STANDING[name]
            else:
                kind, key_class = STOCK[kind_name]
                key_id = int(count) + (kind == KEM)  # the last-resort key is the first of its kind
            seed = draws.left.pop(name)
            made[name] = prekeys.make(kind, key_class, key_id, step["now_ms"], seed, owner)
        stock = [name for name in made if name not in STANDING]
        assert len(stock) == 2 * step["one_time"]
        device.prekeys = [*made.values()]
        self.published[step["by"]] = named = {name: key.encode() for name, key in made.items()}
        return {"keys": {name: key.hex() for name, key in named.items()}}

    # Sessions

    def do_begin(self, step: Step, draws: NamedDraws) -> Step:
        device, other = self.devices[step["by"]], self.devices[step["to"]].me
        chain = manifests.verify_chain(other[0], device.chains.get(other[0], []), self.accounts[other[0]])
        device.chains[other[0]] = chain
        device.draw = draws
        before = [id(one) for one in device.peers[other].all()] if other in device.peers else []
        bundle = [self.published[step["to"]][name] for name in step["bundle"]]
        device.begin(*other, bundle, step["now_ms"])
        (new,) = (one for one in device.peers[other].all() if id(one) not in before)
        assert new.pending is not None
        return {
            "session_id": new.ratchet.session_id.hex(),
            "setup_number": new.number,
            "setup_values": new.pending[0].encode().hex(),
            "root_key": new.ratchet.s["root"].hex(),
        }

    def do_send(self, step: Step, draws: NamedDraws) -> Step:
        device, other = self.devices[step["by"]], self.devices[step["to"]].me
        device.draw = draws
        text = bytes.fromhex(step["plaintext"])
        envelope = device.seal(other, text, step["now_ms"], ephemeral=step["ephemeral"])
        session = device.peers[other].active
        assert session is not None
        return {
            "session_id": session.ratchet.session_id.hex(),
            "root_key": session.ratchet.trace["root_key"].hex(),
            "number": session.ratchet.trace["number"],
            "flags": session.ratchet.trace["flags"],
            "envelope": envelope.hex(),
        }

    def do_receive(self, step: Step, draws: NamedDraws) -> Step:
        device = self.devices[step["by"]]
        sessions = [one for peer in device.peers.values() for one in peer.all()]
        before = {id(one): one.ratchet.s for one in sessions}
        envelope = changed(self.envelopes[step["envelope_of"]], step)
        other, text = device.open(envelope, step["now_ms"])
        peer = device.peers[other]
        (session,) = (one for one in peer.all() if before.get(id(one)) is not one.ratchet.s)
        opened, kem_step = self._what_changed(before.get(id(session)), session)
        return {
            "from": self.name_of(other),
            "plaintext": text.hex(),
            "opened_chain": opened,
            "kem_step": kem_step,
            "session_id": session.ratchet.session_id.hex(),
            "is_active": peer.active is session,
            "root_key": session.ratchet.s["root"].hex(),
        }

    @staticmethod
    def _what_changed(before: dict[str, Any] | None, session: Session) -> tuple[bool, bool]:
        """(The message opened a chain, and a post-quantum step was with it)."""
        if before is None:
            return True, False
        opened = before["root"] != session.ratchet.s["root"]
        return opened, opened and before["offer_private"] is not None

    # Linking

    def do_link_request(self, step: Step, draws: NamedDraws) -> Step:
        names = ("signing_seed", "identity_private", "sealing_seed", "device_id", "mailbox_id")
        keys = {name: draws.left.pop(name) for name in names}
        public = x25519.public_of(keys["identity_private"])
        sealing = hpke.x_wing_public(keys["sealing_seed"])
        asked = linking.request(sealing, keys["device_id"], keys["signing_seed"], public, step["name"])
        self.links[step["by"]] = Linking(keys, asked, step["now_ms"])
        return {"request": asked.hex(), "qr": (keys["mailbox_id"] + sha256(asked)).hex()}

    def do_link_answer(self, step: Step, draws: NamedDraws) -> Step:
        manager, link = self.devices[step["by"]], self.links[step["to"]]
        asked, hashed = changed(link.asked, step), sha256(link.asked)
        linking.require_good(step["now_ms"] - step["scanned_at_ms"])
        sealing = linking.parse_request(asked, hashed)[0]
        linking.require_good(0, link.answered_ms is not None)
        answer = b"".join(manager.me) + draws(32)
        info = linking.answer_info(link.keys["mailbox_id"], asked)
        link.sealed = hpke.seal(sealing, info, answer, draws(64))
        link.answered_ms = step["scanned_at_ms"]
        return {
            "answer": answer.hex(),
            "code": linking.digits(asked, answer),
            "sealed_answer": link.sealed.hex(),
        }

    def do_link_open(self, step: Step, draws: NamedDraws) -> Step:
        link = self.links[step["by"]]
        keys = link.keys
        linking.require_good(step["now_ms"] - link.began_ms, link.used)
        sealed = changed(link.sealed, step)
        parts = linking.open_answer(sealed, keys["sealing_seed"], keys["mailbox_id"], link.asked)
        link.used = True
        account, manager, _ = parts
        public = x25519.public_of(keys["identity_private"])
        me = account, keys["device_id"]
        link.confirmation = linking.confirmation(*me, keys["signing_seed"], public)
        made = self.device(me, keys["signing_seed"], keys["identity_private"], draws)
        made.chains[account] = self.accounts[account]
        self.devices[step["by"]] = made
        return {
            "account": account.hex(),
            "manager": manager.hex(),
            "code": linking.digits(link.asked, b"".join(parts)),
            "confirmation": link.confirmation.hex(),
        }

    def do_link_confirm(self, step: Step, draws: NamedDraws) -> Step:
        manager, link = self.devices[step["by"]], self.links[step["to"]]
        account, now_ms = manager.account, step["now_ms"]
        assert link.answered_ms is not None
        linking.require_good(now_ms - link.answered_ms)
        signing = ed25519.public_of(link.keys["signing_seed"])
        identity = x25519.public_of(link.keys["identity_private"])
        device, signed = link.keys["device_id"], changed(link.confirmation, step)
        ed25519.verify(signing, manifests.device_transcript(account, device, signing, identity), signed)
        entry = manifests.Device(device, signing, identity, 0, now_ms, signed)
        before = self.accounts[account][-1]
        listed = [*before.devices.values(), entry]
        following = before.root, before.version + 1, before.hash, listed
        made = manifests.make(*following, manager.signing_seed, manager.device)
        chain = manifests.verify_chain(account, self.accounts[account], [manifests.parse(made)])
        self.accounts[account] = chain
        for each in self.devices.values():
            if each.account == account:
                each.chain = chain
        return {"manifest": made.hex(), "manifest_hash": chain[-1].hash.hex()}
