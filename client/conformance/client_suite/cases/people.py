"""Chapters Links, Contents and Safety number: how people find each other, what they write, and what they compare."""

import hashlib
from typing import Final

from client.conformance.client_suite.person import Person, Refused
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import from_base64, transcript

_MARK: Final = "/contact#v1."
_LONGEST: Final = 50_000
_TEXTS: Final = ("\U0001d11e" * _LONGEST, "e\u0301 \u00e9 \u202e\ufeff\n\t\x00 ", "5 < 6 & \"so\" '\\u0041'")
"""Of the longest one each character takes four bytes, and two units of UTF-16."""


@CLIENT_SUITE.case("client-contact-link")
async def contact_link(setting: Setting) -> None:
    """Its contact link holds its account and a token of class link that the relay has; who has it writes by it, at once."""
    ann, bob = await setting.two()
    link, account = await bob.ask("link"), setting.account(bob)
    origin, found, fragment = link.partition(_MARK)
    packed = from_base64(fragment) if found else b""
    if origin != setting.house.origin or len(packed) != 48 or packed[:32] != account.manifest.account_id:
        raise Failed(f"expected ORIGIN{_MARK} and 48 B that begin with the account id, got {link}")
    if (kind := setting.house.token_class(account, packed[32:])) != "link":
        raise Failed(f"expected the token of the link to be one of class link at the relay, got {kind}")
    await ann.call("send", to=link, text="by the link")
    await bob.until("by the link")
    if setting.house.asked["handle"] or {one.fields[7][0][1] for one in setting.durable(bob)} != {
        packed[32:]
    }:
        raise Failed("expected an envelope by the token of the link, and no question for a handle")


@CLIENT_SUITE.case("client-contact-link-of-another-kind")
async def odd_links(setting: Setting) -> None:
    """Writes to no link of another version, of another length, or of another relay."""
    ann, bob = await setting.two()
    link = await bob.ask("link")
    for odd in (
        link.replace("#v1.", "#v2."),
        link[:-4],
        link + "AAAA",
        link.replace("/contact#", "/contacts#"),
        link.replace("127.0.0.1", "127.0.0.2"),
    ):
        try:
            await ann.call("send", to=odd, text="secret")
        except Refused:
            continue
        raise Failed(f"expected an error for {odd}")
    if setting.durable(bob):
        raise Failed("expected no envelope to a link that is none")


@CLIENT_SUITE.case("client-texts-as-they-are")
async def texts(setting: Setting) -> None:
    """Texts come as they were written, character for character, up to the longest that the document allows."""
    ann, bob = await setting.two()
    for text in _TEXTS:
        await ann.call("send", to="bob", text=text)
    await setting.until(lambda: len(setting.durable(bob)) >= len(_TEXTS), "an envelope for each text")
    await setting.acked(bob)
    shown = await bob.texts()
    if shown != list(_TEXTS):
        raise Failed(f"expected the texts as they were written, got {[told[:40] for told in shown]}")


@CLIENT_SUITE.case("client-safety-number")
async def safety_number(setting: Setting) -> None:
    """Both show the 60 digits that the document derives from their accounts, before and after a message."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="let us compare")
    await bob.until("let us compare")
    await bob.call("send", to="ann", text="yes")
    await ann.until("yes")
    expected = _digits(*(setting.account(person).manifest.account_id for person in (ann, bob)))
    for person, other in ((ann, bob), (bob, ann)):
        if (told := await _number(person, other)) != expected:
            raise Failed(f"expected {expected} of {person.name}, got {told}")


async def _number(person: Person, other: Person) -> str:
    told = await person.ask("safety_number", **{"with": other.name})
    return "".join(str(told).split())


def _digits(*accounts: bytes) -> str:
    digest = hashlib.sha512(transcript("tokenim/v1 safety number", *sorted(accounts))).digest()
    numbers = [int.from_bytes(digest[at : at + 5], "big") % 100_000 for at in range(0, 60, 5)]
    return "".join(f"{number:05d}" for number in numbers)
