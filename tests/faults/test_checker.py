"""The checker of the fault tests sees each kind of broken promise, and lets a good run pass."""

import pytest

from tests.faults.checker import CheckFailed, Ledger


def run_of(count: int) -> Ledger:
    """A run in which everything went well; envelope n of sender "a" has sequence n + 1."""
    ledger = Ledger()
    for number in range(count):
        ledger.submitted("a", "box", bytes((number,)), b"d")
        ledger.accepted("box", bytes((number,)))
        assert ledger.delivered("box", number + 1, bytes((number,)), b"d")
    ledger.one_time_key("dev", 2, 1)
    ledger.restarted(0.4)
    ledger.integrity("ok")
    return ledger


def test_a_good_run_passes_with_redeliveries_and_unanswered_ones():
    ledger = run_of(3)
    assert not ledger.delivered("box", 2, b"\x01", b"d")  # again, after a kill before the ack was stored
    ledger.submitted("a", "box", b"\x08", b"d")
    ledger.went_unanswered("box", b"\x08")
    ledger.submitted("a", "box", b"\x09", b"d")
    ledger.went_unanswered("box", b"\x09")
    ledger.delivered("box", 4, b"\x08", b"d")  # the one stored before the kill, the other not
    ledger.submitted("a", "box", b"\x0a", b"d")
    ledger.refused("box", b"\x0a")
    ledger.verify()
    assert ledger.counts() == {
        "submitted": 6,
        "accepted": 3,
        "refused": 1,
        "unanswered": 2,
        "resubmitted": 0,
        "delivered": 4,
        "redelivered": 1,
        "lost": 0,
        "twice": 0,
        "one_time_keys": 1,
        "restarts": 1,
    }
    assert ledger.unanswered() == [("box", b"\x08"), ("box", b"\x09")]


def lose_one(ledger):
    ledger.submitted("a", "box", b"x", b"d")
    ledger.accepted("box", b"x")


def deliver_twice(ledger):
    ledger.delivered("box", 9, b"\x01", b"d")


def deliver_an_unanswered_one_twice(ledger):
    ledger.submitted("a", "box", b"x", b"d")
    ledger.delivered("box", 8, b"x", b"d")
    ledger.delivered("box", 9, b"x", b"d")


def deliver_a_refused_one(ledger):
    ledger.submitted("a", "box", b"x", b"d")
    ledger.refused("box", b"x")
    ledger.delivered("box", 9, b"x", b"d")


def deliver_other_bytes(ledger):
    ledger.submitted("a", "box", b"x", b"d")
    ledger.accepted("box", b"x")
    ledger.delivered("box", 9, b"x", b"e")


def deliver_out_of_nowhere(ledger):
    ledger.delivered("box", 9, b"x", b"d")


def swap_two(ledger):
    for name in (b"x", b"y"):
        ledger.submitted("a", "box", name, b"d")
        ledger.accepted("box", name)
    ledger.delivered("box", 8, b"y", b"d")
    ledger.delivered("box", 9, b"x", b"d")


def give_a_sequence_twice(ledger):
    lose_one(ledger)
    ledger.delivered("box", 3, b"x", b"d")


def go_back_in_sequence(ledger):
    for number, name in ((9, b"x"), (8, b"y")):
        ledger.submitted(name.decode(), "box", name, b"d")
        ledger.accepted("box", name)
        ledger.delivered("box", number, name, b"d")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lose_one, "accepted and never delivered"),
        (deliver_twice, "delivered 2 times"),
        (deliver_an_unanswered_one_twice, r"delivered 2 times \(unanswered\)"),
        (deliver_a_refused_one, "refused and delivered"),
        (deliver_other_bytes, "with other bytes"),
        (deliver_out_of_nowhere, "never submitted"),
        (swap_two, r"78 of a \(its 3th\) came after 79"),
        (give_a_sequence_twice, "two different envelopes"),
        (go_back_in_sequence, "after a higher one"),
        (lambda ledger: ledger.missed("box", 4, 5), "lost sequences 4 to 5"),
        (lambda ledger: ledger.forgotten("box", 3), "forgot sequence 3"),
        (lambda ledger: ledger.one_time_key("dev", 2, 1), "given 2 times"),
        (lambda ledger: ledger.restarted(5.1), "5.1 s after the fault"),
        (lambda ledger: ledger.integrity("row 1 missing"), "row 1 missing"),
    ],
)
def test_each_broken_promise_is_seen(break_it, words):
    ledger = run_of(3)
    break_it(ledger)
    with pytest.raises(CheckFailed, match=words):
        ledger.verify()


def test_order_is_asked_for_each_sender_alone():
    ledger = Ledger()
    for sender, name in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        ledger.submitted(sender, "box", name, b"d")
        ledger.accepted("box", name)
    for sequence, name in enumerate((b"2", b"1", b"3"), start=1):
        ledger.delivered("box", sequence, name, b"d")
    ledger.verify()


def test_a_refusal_after_an_unanswered_try_proves_nothing():
    ledger = Ledger()
    ledger.submitted("a", "box", b"x", b"d")
    ledger.went_unanswered("box", b"x")
    ledger.submitted("a", "box", b"x", b"d")
    ledger.refused("box", b"x")
    ledger.delivered("box", 1, b"x", b"d")
    ledger.verify()
    assert ledger.counts()["resubmitted"] == 1


def test_a_long_list_is_cut_and_says_so():
    ledger = Ledger()
    for number in range(30):
        ledger.submitted("a", "box", bytes((number,)), b"d")
        ledger.accepted("box", bytes((number,)))
    with pytest.raises(CheckFailed, match=r"30 broken promises(.|\n)*and 10 more"):
        ledger.verify()
    assert ledger.counts()["lost"] == 30
