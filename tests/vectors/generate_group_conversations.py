"""Writes conversation_group.json and conversation_broadcast.json: groups as conversations, with all randomness by name.

python -m tests.vectors.generate_group_conversations
"""

from typing import Any

from crypto.group_changes import ChangeSetting, Remove
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.limits import DAY_MS
from tests.group_stage import GroupStage, changes_of
from tests.vectors.generate_conversations import FOLDER, Script


class GroupScript(Script):
    """The conversation of a group that is being recorded."""

    def account(self, name: str) -> bytes:
        return self.stage.members[name].account  # type: ignore[no-any-return]

    def create(self, by: str, members: dict[str, Role], *settings: Setting) -> None:
        added = [add(self.account(name), 1, role) for name, role in members.items()]
        changes = changes_of(add(self.account(by), 1, Role.OWNER), *added, *map(ChangeSetting, settings))
        self.step(f"{by} creates the group", "create", by, changes=changes)
        for name in members:
            self.step(f"{by} lets {name} in", "tell_welcome", by, to=name)

    def commit(self, by: str, does: str, *changes: Any, cut: bool = False, error: str | None = None) -> None:
        self.step(does, "commit", by, changes=changes_of(*changes), cut=cut, error=error)

    def follow(self, *names: str) -> None:
        for name in names:
            self.step(f"{name} reads the next entry", "follow", name)

    def tell(self, what: str, by: str, to: str, *, error: str | None = None) -> None:
        self.step(f"{by} tells {to}", f"tell_{what}", by, to=to, error=error)

    def chain(self, by: str, *to: str) -> None:
        self.step(f"{by} hands out its chain", "tell_chain", by, to=[*to])

    def say(self, by: str, text: bytes, *hear: str) -> int:  # type: ignore[override]
        number = self.step(f"{by} speaks", "say", by, plaintext=text.hex())
        for name in hear:
            self.hear(name, number)
        return number

    def hear(self, by: str, number: int, does: str = "", *, error: str | None = None, **given: int) -> None:
        self.step(does or f"{by} hears", "hear", by, envelope_of=number, error=error, **given)


def group() -> GroupScript:
    """Somebody joins, somebody is removed and comes back; secrets that come early, late, and never."""
    talk = GroupScript("group", GroupStage())
    talk.accounts("ann", "bob", "cem", "dee")
    talk.create("ann", {"bob": Role.ADMIN, "cem": Role.MEMBER}, Setting("name", b"Climbers"))
    talk.chain("ann", "bob", "cem")
    first = talk.say("ann", b"hello", "bob")
    talk.hear("cem", first, "a byte of the header changed", flip=20, error="ChainMissing")
    talk.hear("cem", first, "a byte of the body changed", flip=80, error="InvalidSignature")
    talk.hear("cem", first, "a byte of the signature changed", flip=255, error="InvalidSignature")
    talk.hear("cem", first)
    talk.hear("cem", first, "the same message again", error="Replayed")
    talk.chain("bob", "ann", "cem")
    second = talk.say("bob", b"x" * 2_000, "ann", "cem")
    talk.commit("cem", "a member may not commit", Remove(talk.account("bob")), error="CommitRefused")
    talk.commit("bob", "dee joins: plain, the epoch stays", add(talk.account("dee"), 1))
    talk.follow("bob", "ann", "cem")
    talk.tell("welcome", "bob", "dee")
    talk.hear("dee", first, "from before it joined: nobody hands the chain back", error="ChainMissing")
    talk.chain("ann", "dee")
    talk.hear("dee", first, "a chain begins where it was handed out", error="Replayed")
    talk.say("ann", b"hello dee", "bob", "cem", "dee")
    talk.chain("dee", "ann", "bob", "cem")
    talk.say("dee", b"hello all", "ann", "bob", "cem")
    talk.step("an entry that is junk: everybody skips it", "follow", "ann", junk="01" + "00" * 255)
    talk.follow("bob", "cem", "dee")
    talk.commit("ann", "bob is removed: a cut", Remove(talk.account("bob")))
    talk.follow("ann")
    late = talk.say("bob", b"still here")
    talk.hear("ann", late, "who is out is not shown, whatever the epoch", error="NotEntitled")
    talk.tell("secret", "ann", "cem")
    talk.follow("cem")
    talk.hear("cem", second, "read before, and bob is out now", error="NotEntitled")
    talk.follow("dee")
    talk.chain("ann", "cem", "dee")
    without = talk.say("ann", b"without bob", "cem")
    talk.hear("dee", without, "its secret has not come: held", error="ChainMissing")
    talk.tell("secret", "ann", "dee")
    talk.hear("dee", without)
    talk.follow("bob")
    talk.hear("bob", without, "the next epoch is not for who is out", error="ChainMissing")
    for what in ("secret", "welcome"):
        talk.tell(what, "ann", "bob", error="NotEntitled")
    talk.step("bob has no secret to speak under", "say", "bob", plaintext="", error="ChainMissing")
    talk.now_ms += 8 * DAY_MS
    talk.commit("ann", "a cut for its age", cut=True)
    talk.follow("ann")
    for name in ("cem", "dee"):
        talk.tell("secret", "ann", name)
    talk.follow("cem", "dee")
    talk.commit("ann", "bob comes back as a listener", add(talk.account("bob"), 1, Role.LISTENER))
    talk.follow("ann", "cem", "dee")
    talk.tell("welcome", "ann", "bob")
    talk.hear("bob", without, "what was said meanwhile stays closed", error="ChainMissing")
    talk.chain("ann", "bob", "cem", "dee")
    talk.say("ann", b"welcome back", "bob", "cem", "dee")
    talk.chain("bob", "ann")
    talk.step("a listener may not speak", "say", "bob", plaintext="68690a", error="NotEntitled")
    return talk


def broadcast() -> GroupScript:
    """Listeners come by steps, which members derive and nobody tells; one is removed."""
    talk = GroupScript("broadcast", GroupStage())
    talk.accounts("ann", "bob", "eve", "fay")
    talk.create("ann", {"bob": Role.ADMIN}, Setting("broadcast", b"\x01"))
    talk.chain("ann", "bob")
    before = talk.say("ann", b"before eve", "bob")
    for name in ("eve", "fay"):
        who = add(talk.account(name), 1, Role.LISTENER)
        talk.commit("bob", f"{name} joins: a step, the next secret follows from the last", who)
        talk.follow("bob", "ann")
        talk.tell("welcome", "bob", name)
    talk.follow("eve")
    talk.hear("eve", before, "under the secret before the step", error="ChainMissing")
    talk.chain("ann", "eve", "fay")
    talk.say("ann", b"to everybody", "bob", "eve", "fay")
    talk.commit("ann", "fay is removed: a cut", Remove(talk.account("fay")))
    talk.follow("ann")
    for name in ("bob", "eve"):
        talk.tell("secret", "ann", name)
    talk.follow("bob", "eve", "fay")
    talk.chain("ann", "bob", "eve")
    last = talk.say("ann", b"without fay", "bob", "eve")
    talk.hear("fay", last, "the next epoch is not for who is out", error="ChainMissing")
    return talk


FILES = {"conversation_group.json": group, "conversation_broadcast.json": broadcast}


def document(name: str) -> str:
    return FILES[name]().document("Groups", "generate_group_conversations.py")


if __name__ == "__main__":
    for name in FILES:
        (FOLDER / name).write_text(document(name), encoding="utf-8")
