"""Chapters Registration, Authentication, Prekeys and Reach, as a client does them."""

from typing import Any

from client.conformance.client_suite.person import Refused
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed

HOUR_MS = 3_600_000


@CLIENT_SUITE.case("client-registers")
async def registers(setting: Setting) -> None:
    """Registers: manifest 1 signed by root key and device, prekeys of all kinds, a contact token, its own manifests fetched."""
    ann = await setting.person("ann")
    account = setting.account(ann)
    kinds = {(one.kind, one.key_class) for one in account.prekeys}
    if kinds != {(1, 1), (2, 2), (2, 3), (3, 2), (4, 1)}:
        raise Failed(f"expected prekeys of every kind and class at the relay, got {sorted(kinds)}")
    for kind in (2, 3):
        stock = sum(one.kind == kind and one.key_class == 2 for one in account.prekeys)
        if stock != 100:
            raise Failed(f"expected 100 one-time keys of kind {kind}, got {stock}")
    if "contact" not in account.tokens.values():
        raise Failed("expected a delivery token of class contact at the relay")
    signed = account.manifest.account_id
    if not any("/manifests" in path and asker == signed for _, path, asker in setting.house.requests):
        raise Failed("expected a signed request for the own manifests, whose proof set-up envelopes carry")


@CLIENT_SUITE.case("client-register-again")
async def registers_again(setting: Setting) -> None:
    """Where the answer to its registration was lost, registering again shows the very same manifest."""
    ann = await setting.newcomer("ann")
    setting.script.lose.append("POST /v1/accounts")
    for _ in range(3):
        try:
            await ann.call("register", link=setting.house.invite, handle="ann")
        except Refused:
            continue
        break
    shown = [one["manifest"]["body"] for one in setting.house.registrations]
    if len(shown) < 2 or len(set(shown)) != 1 or len(setting.house.accounts) != 1:
        raise Failed(
            f"expected one manifest shown at least twice, got {len(set(shown))} of them in {len(shown)}"
        )


async def _does_not_register(setting: Setting) -> None:
    ann = await setting.newcomer("ann")
    try:
        await ann.call("register", link=setting.house.invite, handle="ann")
    except Refused:
        pass
    else:
        raise Failed("expected an error, and the client registered")
    if setting.house.registrations:
        raise Failed("expected no registration at a relay whose document is not signed by the pinned key")


@CLIENT_SUITE.case("client-document-signature")
async def document_signature(setting: Setting) -> None:
    """Does not register at a relay whose document bears a signature that is not by the key of the invite."""
    setting.script.document_signature = lambda good: good[:-1] + bytes([good[-1] ^ 1])
    await _does_not_register(setting)


@CLIENT_SUITE.case("client-clock-away", proves=("M-AUTH-07",))
async def clock_away(setting: Setting) -> None:
    """Whose clock is away from the relay's `Date` signs with the difference added, and tries again."""
    setting.script.clock_off_ms = HOUR_MS
    ann = await setting.newcomer("ann")
    await ann.call("register", link=setting.house.invite, handle="ann")
    if "unauthenticated" not in setting.house.refused:
        raise Failed("no request with a stale time was refused: the case tried nothing")
    if not setting.account(ann).prekeys:
        raise Failed("expected prekeys from a client that minds the relay's clock")


@CLIENT_SUITE.case("client-unknown-answer-fields", proves=("M-HTTP-03",))
async def unknown_fields(setting: Setting) -> None:
    """Ignores fields of answers that it does not know."""

    def more(told: dict[str, Any]) -> dict[str, Any]:
        return {**told, "from_the_future": {"and": [1, None]}}

    setting.script.any_json = setting.script.document = more
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="still here")
    await bob.until("still here")


@CLIENT_SUITE.case("client-prekeys-again")
async def prekeys_again(setting: Setting) -> None:
    """Told that one-time keys run low, brings new ones, under ids that were never used."""
    ann = await setting.person("ann")
    account = setting.account(ann)
    taken = [one for one in account.prekeys if one.key_class == 2 and one.kind == 3][:80]
    account.prekeys = [one for one in account.prekeys if one not in taken]
    await setting.connection(ann).notice(1, 3, 20)
    await setting.until(
        lambda: sum(one.kind == 3 for one in account.prekeys) == 100, "100 one-time prekeys again"
    )


@CLIENT_SUITE.case("client-anonymous-submit")
async def anonymous_submit(setting: Setting) -> None:
    """Writes to others, and fetches their manifests, without saying who it is."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="who is it")
    await bob.until("who is it")
    if any(one.asker is not None for one in setting.durable(bob)):
        raise Failed("expected submits to others on anonymous connections alone")


@CLIENT_SUITE.case("client-signed-submit")
async def signed_submit(setting: Setting) -> None:
    """Writes on its authenticated connection where the relay's document says `anonymous_submit: false`."""
    setting.script.anonymous_submit = False
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="it is I")
    await bob.until("it is I")


@CLIENT_SUITE.case("client-strangers-hear-nothing", proves=("M-REACH-04",))
async def strangers(setting: Setting) -> None:
    """Sends a stranger nothing by itself: no receipt, no empty content, no typing."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="do you hear")
    await bob.until("do you hear")
    await setting.quiet(ann)
