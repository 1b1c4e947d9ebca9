"""Who may use the dashboard in a browser: one-time links, and the sessions that they become. In memory: a restart ends all.

A link comes from the command line, so from who can open the data folder. It speaks for that user of the machine, or for an
account, which then may do what its role says at that moment, request by request. Secrets are kept as their hashes.
"""

import hmac
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from relay.ports.accounts import AccountStore
from relay.ports.clock import Clock, Randomness
from relay.services.audit import Action, Audit
from relay.services.roles import Authority, Roles
from relay.wire.errors import NotAllowed, Unauthenticated

SECRET_BYTES: Final = 32
LINK_SECONDS: Final = 600
SESSION_SECONDS: Final = 12 * 3_600
IDLE_SECONDS: Final = 3_600
MAX_LINKS: Final = 32
MAX_SESSIONS: Final = 64
"""Of each the oldest goes for one more."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that logged in: for an account (32 B id) or, without one, for this user of the machine.

    `csrf` (32 B) has to come with each request, beside the cookie: a page of another origin cannot know it (E5).
    """

    account_id: bytes | None
    uid: int
    csrf: bytes = field(repr=False)
    began_ms: int
    used_ms: int


@dataclass(frozen=True, slots=True)
class _Link:
    account_id: bytes | None
    uid: int
    made_ms: int


class DashboardLogins:
    """Links and sessions of one relay."""

    def __init__(
        self, accounts: AccountStore, audit: Audit, roles: Roles, *, clock: Clock, randomness: Randomness
    ) -> None:
        self._accounts = accounts
        self._audit = audit
        self._roles = roles
        self._clock = clock
        self._randomness = randomness
        self._links: dict[bytes, _Link] = {}
        self._sessions: dict[bytes, Session] = {}

    @property
    def role_names(self) -> tuple[str, ...]:
        """Of all roles, those of the configuration last."""
        return self._roles.names

    def link(self, *, uid: int, account_id: bytes | None = None) -> bytes:
        """A new secret of 32 B, good once, for LINK_SECONDS."""
        secret = self._randomness(SECRET_BYTES)
        self._links[sha256(secret).digest()] = _Link(account_id, uid, self._clock.monotonic_ms())
        while len(self._links) > MAX_LINKS:
            del self._links[next(iter(self._links))]
        return secret

    async def log_in(self, secret: bytes) -> tuple[bytes, Session]:
        """(The cookie, 32 B; the session) for a link's secret, which is spent by it. Raises Unauthenticated."""
        link = self._links.pop(sha256(secret).digest(), None)
        now_ms = self._clock.monotonic_ms()
        if link is None or now_ms - link.made_ms > LINK_SECONDS * 1_000:
            raise Unauthenticated(
                "this link was used already or is too old: `tokenim-relay dashboard link` makes another"
            )
        session = Session(link.account_id, link.uid, self._randomness(SECRET_BYTES), now_ms, now_ms)
        authority = await self.authority(session)
        await self._audit.record(self._audit.entry(Action.DASHBOARD_LOG_IN, actor=authority.party))
        cookie = self._randomness(SECRET_BYTES)
        self._sessions[sha256(cookie).digest()] = session
        while len(self._sessions) > MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return cookie, session

    def session(self, cookie: bytes) -> Session:
        """The session of this cookie, which is used by it. Raises Unauthenticated for one that ended."""
        key = sha256(cookie).digest()
        session = self._sessions.get(key)
        now_ms = self._clock.monotonic_ms()
        if session is None:
            raise Unauthenticated("nobody is logged in: `tokenim-relay dashboard link` makes a link")
        if (
            now_ms - session.began_ms > SESSION_SECONDS * 1_000
            or now_ms - session.used_ms > IDLE_SECONDS * 1_000
        ):
            del self._sessions[key]
            raise Unauthenticated("the session has ended: `tokenim-relay dashboard link` makes a link")
        session = self._sessions[key] = replace(session, used_ms=now_ms)
        return session

    async def authority(self, session: Session) -> Authority:
        """What the session may do now. Raises Unauthenticated if its account is gone."""
        if session.account_id is None:
            return Authority.of_machine(session.uid)
        account = await self._accounts.account(session.account_id)
        if account is None:
            raise Unauthenticated("the account of this session is gone")
        return self._roles.authority(account.account_id, account.role, suspended=account.suspended)

    def log_out(self, cookie: bytes) -> None:
        """The session is over; without effect if there is none."""
        self._sessions.pop(sha256(cookie).digest(), None)


def require_csrf(session: Session, told: bytes) -> None:
    """Raise NotAllowed unless the request told the session's own 32 B."""
    if not hmac.compare_digest(session.csrf, told):
        raise NotAllowed("the request did not come from the dashboard's own page")
