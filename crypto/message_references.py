"""Receipts, edits, reactions and deletes: bound to one message of one author, and refused from the wrong hand (B10).

A reference is a hash over conversation, author, message and content, so an act cannot be moved to another message, nor
to another text under the same id. Who acts is known from the session or chain that the act came in, never from what it
says. docs/protocol.md, "References".
"""

from dataclasses import dataclass
from enum import IntEnum

from . import labels
from .errors import InvalidEncoding, NotEntitled
from .primitives import sha256
from .transcript import transcript

__all__ = ["Act", "MessageFacts", "verify_act"]


class Act(IntEnum):
    """What can be done to a message after it was sent."""

    RECEIPT = 1  # anybody to whom it was sent
    REACTION = 2  # anybody in the conversation
    EDIT = 3  # its author alone
    DELETE = 4  # its author, and in a group who has the right TIDY


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message as this client knows it."""

    conversation_id: bytes
    """32 B."""
    account: bytes
    """32 B: the author."""
    device: bytes
    """16 B: the author's device that sent it."""
    message_id: bytes
    """16 B."""
    content_hash: bytes
    """32 B SHA-256 of the encoded content; of its first form, so that a reference outlives edits."""

    def reference(self) -> bytes:
        """32 B that acts name."""
        lengths = [len(field) for field in (self.conversation_id, self.account, self.device)]
        if lengths != [32, 32, 16] or (len(self.message_id), len(self.content_hash)) != (16, 32):
            raise InvalidEncoding("a message reference with a field of another length")
        fields = self.conversation_id, self.account, self.device, self.message_id, self.content_hash
        return sha256(transcript(labels.MESSAGE_REFERENCE, *fields))


def verify_act(
    act: Act, actor: bytes, reference: bytes, target: MessageFacts, *, may_tidy: bool = False
) -> None:
    """Raise NotEntitled unless the account `actor` may do this to `target`, InvalidEncoding if it names another message.

    `may_tidy`: the actor has that right in the target's group now.
    """
    if reference != target.reference():
        raise InvalidEncoding("what came refers to another message")
    if act is Act.EDIT and actor != target.account:
        raise NotEntitled("only its author edits a message")
    if act is Act.DELETE and actor != target.account and not may_tidy:
        raise NotEntitled("only its author or a moderator deletes a message")
