"""Each MUST of docs/protocol.md has an id behind it, that is its own for ever."""

from tests.protocol_rules import DOCUMENT, RETIRED, ids_in, misnumbered, out_of_step, rules_of

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_a_must_without_an_id_and_an_id_without_a_must_are_seen():
    assert out_of_step("A MUST go [M-AUTH-01]. B MUST NOT go [M-AUTH-02].") == []
    assert len(out_of_step("A MUST go. B MUST NOT go [M-AUTH-02].")) == 1
    assert len(out_of_step("A MUST go [M-AUTH-01]. B goes [M-AUTH-02].")) == 1
    assert len(out_of_step("A MUST go [M-AUTH-01]. B MUST go.")) == 1


def test_a_number_given_twice_or_lost_or_taken_from_a_retired_rule_is_seen():
    assert misnumbered(["M-LOG-01", "M-LOG-02"], frozenset()) == []
    assert misnumbered(["M-LOG-01", "M-LOG-01"], frozenset()) == ["M-LOG-01 stands twice"]
    assert misnumbered(["M-LOG-02"], frozenset()) == ["M-LOG-01 is missing: is it retired?"]
    assert misnumbered(["M-LOG-02"], frozenset({"M-LOG-01"})) == []
    assert misnumbered(["M-LOG-01"], frozenset({"M-LOG-01"})) == ["M-LOG-01 is retired"]


def test_each_must_has_an_id():
    assert out_of_step(TEXT) == []


def test_no_id_is_used_twice():
    assert misnumbered(ids_in(TEXT), RETIRED) == []


def test_each_id_has_words_with_a_must():
    rules = rules_of(TEXT)
    assert len(rules) > 100
    assert {rule: words for rule, words in rules.items() if "MUST" not in words} == {}
