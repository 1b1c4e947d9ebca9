"""Acts on messages are bound to author and message: none moves to another, none comes from the wrong hand."""

from dataclasses import replace

import pytest

from crypto.errors import InvalidEncoding, NotEntitled
from crypto.message_references import Act, MessageFacts, verify_act

TARGET = MessageFacts(b"c" * 32, b"a" * 32, b"d" * 16, b"m" * 16, b"h" * 32)
AUTHOR, OTHER = TARGET.account, b"o" * 32


@pytest.mark.parametrize("act", Act)
def test_b10_an_act_of_the_author_holds(act: Act) -> None:
    verify_act(act, AUTHOR, TARGET.reference(), TARGET)
    assert len(TARGET.reference()) == 32


@pytest.mark.proves("M-CONTENT-02")
@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("field", ["conversation_id", "account", "device", "message_id", "content_hash"])
def test_b10_an_act_on_another_message_is_refused(act: Act, field: str) -> None:
    other = replace(TARGET, **{field: bytes(len(getattr(TARGET, field)))})
    with pytest.raises(InvalidEncoding):
        verify_act(act, AUTHOR, TARGET.reference(), other)


def test_b10_only_its_author_edits_and_deletes() -> None:
    reference = TARGET.reference()
    for act in (Act.EDIT, Act.DELETE):
        with pytest.raises(NotEntitled):
            verify_act(act, OTHER, reference, TARGET)
    with pytest.raises(NotEntitled):
        verify_act(Act.EDIT, OTHER, reference, TARGET, may_tidy=True)
    verify_act(Act.DELETE, OTHER, reference, TARGET, may_tidy=True)
    for act in (Act.RECEIPT, Act.REACTION):
        verify_act(act, OTHER, reference, TARGET)


@pytest.mark.parametrize("field", ["conversation_id", "account", "device", "message_id", "content_hash"])
def test_a_reference_of_wrong_lengths_is_refused(field: str) -> None:
    with pytest.raises(InvalidEncoding):
        replace(TARGET, **{field: b"short"}).reference()
