"""Links and sessions of the dashboard: good once, for a while, and no longer than the account's role says."""

from collections.abc import AsyncIterator

import pytest

from relay.services.dashboard_logins import (
    IDLE_SECONDS,
    LINK_SECONDS,
    MAX_LINKS,
    MAX_SESSIONS,
    SESSION_SECONDS,
    require_csrf,
)
from relay.services.roles import EVERYTHING, Authority, Operation, Roles
from relay.wire.audit_rows import Party
from relay.wire.errors import NotAllowed, Unauthenticated
from tests.running_relay import World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as world:
        yield world


async def test_e5_a_link_logs_in_once(world: World) -> None:
    logins = world.relay.services.logins
    secret = logins.link(uid=7)
    cookie, session = await logins.log_in(secret)
    assert len({secret, cookie, session.csrf}) == 3
    assert logins.session(cookie).uid == 7
    with pytest.raises(Unauthenticated, match="used already"):
        await logins.log_in(secret)
    assert logins.session(cookie).uid == 7  # who tried it a second time ends nothing
    for wrong in (b"", bytes(32), secret, session.csrf):
        with pytest.raises(Unauthenticated):
            logins.session(wrong)


async def test_e5_a_link_is_good_for_ten_minutes(world: World) -> None:
    logins = world.relay.services.logins
    old, new = logins.link(uid=0), logins.link(uid=0)
    world.clock.let_pass(seconds=LINK_SECONDS - 1)  # the clock goes on by itself, too
    await logins.log_in(new)
    world.clock.let_pass(seconds=2)
    with pytest.raises(Unauthenticated):
        await logins.log_in(old)


async def test_e5_a_session_ends_when_it_is_idle_and_in_any_case_after_half_a_day(world: World) -> None:
    logins = world.relay.services.logins
    idle, _ = await logins.log_in(logins.link(uid=0))
    busy, _ = await logins.log_in(logins.link(uid=0))
    steps = SESSION_SECONDS // IDLE_SECONDS
    for _ in range(steps):
        world.clock.let_pass(seconds=IDLE_SECONDS - 1)  # the clock goes on by itself, too
        logins.session(busy)
    with pytest.raises(Unauthenticated, match="ended"):
        logins.session(idle)
    world.clock.let_pass(seconds=steps + 1)
    with pytest.raises(Unauthenticated, match="ended"):
        logins.session(busy)


async def test_e5_a_session_that_logged_out_is_over(world: World) -> None:
    logins = world.relay.services.logins
    cookie, _ = await logins.log_in(logins.link(uid=0))
    logins.log_out(cookie)
    logins.log_out(cookie)
    with pytest.raises(Unauthenticated):
        logins.session(cookie)


async def test_e5_a_request_tells_the_token_of_its_own_session(world: World) -> None:
    logins = world.relay.services.logins
    _, one = await logins.log_in(logins.link(uid=0))
    _, other = await logins.log_in(logins.link(uid=0))
    require_csrf(one, one.csrf)
    for wrong in (b"", bytes(32), other.csrf):
        with pytest.raises(NotAllowed):
            require_csrf(one, wrong)


async def test_links_and_sessions_are_bounded(world: World) -> None:
    logins = world.relay.services.logins
    links = [logins.link(uid=0) for _ in range(MAX_LINKS + 1)]
    with pytest.raises(Unauthenticated):
        await logins.log_in(links[0])
    cookies = [(await logins.log_in(links[-1]))[0]]
    cookies += [(await logins.log_in(logins.link(uid=0)))[0] for _ in range(MAX_SESSIONS)]
    with pytest.raises(Unauthenticated):
        logins.session(cookies[0])
    assert logins.session(cookies[1])


async def test_e3_a_session_of_an_account_may_what_its_role_says_at_that_moment(world: World) -> None:
    anna = await world.member(role="auditor", handle="anna")
    services = world.relay.services
    _, session = await services.logins.log_in(services.logins.link(uid=0, account_id=anna.account_id))
    authority = await services.logins.authority(session)
    assert authority == Authority(Party.account(anna.account_id), Roles().permissions_of("auditor"))
    act = services.audit.act  # the changes below are an operator's
    by = Authority.of_machine(0)
    await services.administration.grant("anna", "moderator", act=act("role.grant", by))  # type: ignore[arg-type]
    assert Operation.SUSPEND_ACCOUNTS in (await services.logins.authority(session)).permissions
    await services.administration.suspend("anna", act=act("account.suspend", by))  # type: ignore[arg-type]
    assert (await services.logins.authority(session)).permissions == frozenset()
    await services.administration.delete("anna", act=act("account.delete", by))  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated):
        await services.logins.authority(session)


async def test_a_session_from_the_command_line_may_everything(world: World) -> None:
    logins = world.relay.services.logins
    _, session = await logins.log_in(logins.link(uid=1_000))
    assert await logins.authority(session) == Authority(Party.operator(1_000), EVERYTHING)
