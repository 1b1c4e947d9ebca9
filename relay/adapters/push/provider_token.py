"""The token by which APNs knows the team: made anew between 20 and 60 minutes, as Apple asks for."""

from typing import Final

from relay.ports.clock import Clock

from .signed_tokens import Sign, signed_token

LEAST_SECONDS: Final = 1_200
"""A new one earlier than that, and APNs answers TooManyProviderTokenUpdates."""
RENEW_SECONDS: Final = 2_400
"""APNs takes one of up to an hour; a clock may be off by a third of that."""


class ProviderToken:
    """One key's tokens, each used until it is RENEW_SECONDS old."""

    def __init__(self, sign: Sign, *, key_id: str, team_id: str, clock: Clock) -> None:
        self._sign = sign
        self._header = {"alg": "ES256", "kid": key_id}
        self._team_id = team_id
        self._clock = clock
        self._token = ""
        self._made_ms = 0
        self._made_at_ms = 0

    def current(self) -> str:
        """The one to send now."""
        if not self._token or self._age_seconds() >= RENEW_SECONDS:
            self._make()
        return self._token

    def renew(self, refused: str) -> bool:
        """A new one in place of what APNs called expired, unless that is too young; whether `current` is another now."""
        if self._token == refused:
            if self._age_seconds() < LEAST_SECONDS:
                return False
            self._make()
        return True

    def _age_seconds(self) -> float:
        """By whichever clock moved further: one stands still while the machine sleeps, the other can be set."""
        clock = self._clock
        return max(clock.monotonic_ms() - self._made_ms, abs(clock.now_ms() - self._made_at_ms)) / 1_000

    def _make(self) -> None:
        self._made_ms, self._made_at_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        claims: dict[str, str | int] = {"iss": self._team_id, "iat": self._made_at_ms // 1_000}
        self._token = signed_token(self._header, claims, self._sign)
