"""Writes conversation_*.json: whole conversations of devices, with all randomness by name.

    python -m tests.vectors.generate_conversations

Everything is derived from fixed seeds, encapsulations and sealing as well (`tests/named_randomness.py`).
"""

import json
from pathlib import Path
from typing import Any

from crypto.limits import DAY_MS
from tests.crypto_people import NOW_MS
from tests.named_randomness import Recorded
from tests.pair_stage import PairStage, Step

FOLDER = Path(__file__).parent
FULL = ["signed", "sealing", "kem_1", "one_time_1"]
ABOUT = "docs/protocol.md, chapter {}; bytes in hexadecimal; made by tests/vectors/{}"


class Script:
    """A conversation that is being recorded."""

    def __init__(self, name: str, stage: Any) -> None:
        self.name, self.stage = name, stage
        self.now_ms = NOW_MS
        self.steps: list[Step] = []

    def step(self, does: str, action: str, by: str, *, error: str | None = None, **given: Any) -> int:
        """Play one step; it fails as said, or not at all. Gives its number."""
        number = len(self.steps)
        step: Step = {"does": does, "action": action, "by": by, "now_ms": self.now_ms} | given
        draws = Recorded(action, f"{self.name} {number}")
        result = self.stage.play(step, draws)
        assert result.get("error") == error, (does, result)
        random = {name: value.hex() for name, value in draws.drawn.items()}
        self.steps.append(step | {"random": random, "result": result})
        return number

    def accounts(self, *names: str) -> None:
        for name in names:
            self.step(f"{name}'s account, with one device", "account", name)

    def begin(self, by: str, to: str, bundle: list[str], *, error: str | None = None) -> None:
        self.step(f"{by} fetches keys of {to}", "begin", by, to=to, bundle=bundle, error=error)

    def send(self, by: str, to: str, text: bytes, *, ephemeral: bool = False) -> int:
        given = {"to": to, "plaintext": text.hex(), "ephemeral": ephemeral}
        return self.step(f"{by} writes to {to}", "send", by, **given)

    def receive(
        self, by: str, envelope: int, does: str = "", *, error: str | None = None, **given: Any
    ) -> None:
        self.step(does or f"{by} reads", "receive", by, envelope_of=envelope, error=error, **given)

    def say(self, by: str, to: str, text: bytes) -> None:
        """Send, and it arrives."""
        self.receive(to, self.send(by, to, text))

    def document(self, chapters: str, generator: str = "generate_conversations.py") -> str:
        content = {"about": ABOUT.format(chapters, generator), "steps": self.steps}
        return json.dumps(content, indent=1) + "\n"


def two_people() -> Script:
    """First contact, loss and reordering, set-ups that cross, keys that are used up."""
    talk = Script("two people", PairStage())
    talk.accounts("alice", "bob")
    talk.step("alice publishes prekeys", "publish", "alice", one_time=1)
    talk.step("bob publishes prekeys", "publish", "bob", one_time=2)
    without_kem = [name for name in FULL if name != "kem_1"]
    talk.begin("alice", "bob", without_kem, error="InvalidKey")
    talk.begin("alice", "bob", FULL)
    first = talk.send("alice", "bob", b"Hello Bob")
    second = talk.send("alice", "bob", b"Are you there?")
    talk.receive("bob", second, "the second set-up envelope overtakes the first")
    talk.receive("bob", first, "a byte of the sealed part changed", flip=1_300, error="Undecryptable")
    talk.receive("bob", first, "another suite", flip=1, error="InvalidEncoding")
    talk.receive("bob", first)
    talk.receive("bob", first, "the same envelope again", error="Replayed")
    talk.say("bob", "alice", b"Hello Alice")
    one = talk.send("alice", "bob", b"one")
    late = talk.send("alice", "bob", b"two, which comes late")
    three = talk.send("alice", "bob", "drei, mit Umlaut: ü".encode())
    talk.receive("bob", three, "a byte of the header changed", flip=20, error="Undecryptable")
    talk.receive("bob", three, "a byte of the body changed", flip=200, error="Undecryptable")
    talk.receive("bob", three)
    talk.receive("bob", one)
    talk.receive("bob", one, "the same envelope again", error="Replayed")
    older = talk.send("alice", "bob", b"typing", ephemeral=True)
    newer = talk.send("alice", "bob", b"typing", ephemeral=True)
    talk.receive("bob", newer)
    talk.receive("bob", older, "an ephemeral message that a newer one overtook", error="Replayed")
    talk.say("bob", "alice", b"x" * 1_000)
    talk.receive("bob", late)
    talk.begin("alice", "bob", ["signed", "sealing", "kem_2", "one_time_2"])
    talk.begin("bob", "alice", FULL)
    of_alice = talk.send("alice", "bob", b"a new session")
    of_bob = talk.send("bob", "alice", b"a new session, too")
    talk.receive("bob", of_alice, "the set-ups cross")
    talk.receive("alice", of_bob, "both take the same session for the active one")
    talk.say("alice", "bob", b"which one?")
    talk.say("bob", "alice", b"this one")
    talk.accounts("carol")
    talk.begin("carol", "bob", FULL)
    used = talk.send("carol", "bob", b"with keys that were used")
    talk.receive("bob", used, "the one-time keys are gone", error="Undecryptable")
    talk.now_ms += 46 * DAY_MS
    talk.begin("carol", "bob", ["signed", "sealing", "kem_last_resort"], error="StaleKey")
    return talk


def post_quantum() -> Script:
    """From the last-resort key on: an offer after a day, one after 20 root steps, with loss and damage."""
    talk = Script("post-quantum steps", PairStage())
    talk.accounts("alice", "bob")
    talk.step("bob publishes prekeys", "publish", "bob", one_time=0)
    talk.begin("alice", "bob", ["signed", "sealing", "kem_last_resort"])
    talk.say("alice", "bob", b"the set-up was the first post-quantum step")
    talk.say("bob", "alice", b"an answer")
    talk.say("alice", "bob", b"no offer yet")
    talk.now_ms += DAY_MS
    talk.say("bob", "alice", b"a day later: with an offer")
    also = talk.send("bob", "alice", b"it rides on every message of the chain")
    lost = talk.send("alice", "bob", b"with the ciphertext; comes late")
    again = talk.send("alice", "bob", b"which rides on every message, too")
    talk.receive("bob", again, "a byte of the KEM block changed", flip=500, error="Undecryptable")
    talk.receive("bob", again, "the post-quantum step")
    talk.receive("bob", lost)
    talk.receive("alice", also)
    talk.say("bob", "alice", b"healed")
    for number in range(19):
        talk.say(*(("alice", "bob"), ("bob", "alice"))[number % 2], b"turn %d" % number)
    talk.say("bob", "alice", b"an answer to the offer of the 20th root step")
    talk.say("alice", "bob", b"healed again")
    talk.say("bob", "alice", b"and on")
    return talk


def linked_device() -> Script:
    """A second device by QR and digits, and those who write to it: its own account, a contact, a stranger."""
    talk = Script("link a device", PairStage())
    talk.accounts("phone", "bob", "cem")
    for name in ("bob", "cem"):
        talk.step(f"{name} publishes prekeys", "publish", name, one_time=1)
    talk.begin("phone", "bob", FULL)
    talk.say("phone", "bob", b"from the phone")
    talk.say("bob", "phone", b"to the phone")
    talk.step("a new device shows a code", "link_request", "laptop", name="laptop")
    answer = {"to": "laptop", "scanned_at_ms": talk.now_ms}
    talk.now_ms += 2_000
    changed = "the mailbox holds another request"
    talk.step(changed, "link_answer", "phone", **answer, flip=100, error="LinkRefused")
    talk.step("the phone scanned the code and answers", "link_answer", "phone", **answer)
    talk.step("the same request once more", "link_answer", "phone", **answer, error="LinkRefused")
    talk.step("a changed answer", "link_open", "laptop", flip=1_200, error="Undecryptable")
    talk.step("both show the same digits", "link_open", "laptop")
    talk.step("a second answer", "link_open", "laptop", error="LinkRefused")
    signature = "the device's signature changed"
    talk.step(signature, "link_confirm", "phone", to="laptop", flip=3, error="InvalidSignature")
    talk.now_ms += 60_000
    talk.step("over 60 s after the scan", "link_confirm", "phone", to="laptop", error="LinkRefused")
    talk.now_ms -= 40_000
    talk.step("the user says yes: the next manifest", "link_confirm", "phone", to="laptop")
    talk.step("the laptop publishes prekeys", "publish", "laptop", one_time=2)
    talk.begin("bob", "laptop", FULL)
    talk.say("bob", "laptop", b"to the laptop")
    talk.say("bob", "phone", b"and to the phone")
    talk.say("laptop", "bob", b"from the laptop")
    talk.begin("phone", "laptop", ["signed", "sealing", "kem_2", "one_time_2"])
    talk.say("phone", "laptop", b"what the phone knows")
    talk.say("laptop", "phone", b"what the laptop did")
    talk.begin("laptop", "cem", FULL)
    talk.say("laptop", "cem", b"the set-up brings both manifests")
    talk.say("cem", "laptop", b"so a stranger knows this device")
    return talk


CHAPTERS = "Session set-up (PQXDH), Set-up envelope, Sessions, Ratchet"
FILES = {
    "conversation_two_people.json": (two_people, CHAPTERS),
    "conversation_post_quantum.json": (post_quantum, "Post-quantum steps"),
    "conversation_link.json": (linked_device, "Linking"),
}


def document(name: str) -> str:
    script, chapters = FILES[name]
    return script().document(chapters)


if __name__ == "__main__":
    for name in FILES:
        (FOLDER / name).write_text(document(name), encoding="utf-8")
