"""Delivery tokens in memory."""

from relay.ports.delivery_tokens import DeliveryToken
from relay.wire import limits
from relay.wire.errors import NotFound, QuotaExceeded

from .image import Gate, Image


def _is_good(token: DeliveryToken, now_ms: int) -> bool:
    return token.expires_at_ms is None or token.expires_at_ms > now_ms


def check_room(image: Image, account_id: bytes, token_hash: bytes, now_ms: int) -> None:
    """Raise NotFound or QuotaExceeded if this token cannot be added."""
    if account_id not in image.accounts:
        raise NotFound("there is no such account")
    tokens = image.tokens.get(account_id, {}).values()
    if (
        sum(_is_good(each, now_ms) and each.token_hash != token_hash for each in tokens)
        >= limits.MAX_DELIVERY_TOKENS
    ):
        raise QuotaExceeded(f"an account has at most {limits.MAX_DELIVERY_TOKENS} delivery tokens")


class MemoryDeliveryTokens:
    """DeliveryTokenStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def add(self, account_id: bytes, token: DeliveryToken, *, now_ms: int) -> None:
        """Keep it."""

        def change() -> None:
            check_room(self._image, account_id, token.token_hash, now_ms)
            self._image.tokens.setdefault(account_id, {})[token.token_hash] = token

        await self._gate.commit(change)

    async def remove(self, account_id: bytes, token_hash: bytes) -> None:
        """It opens nothing from now on."""

        def change() -> None:
            self._image.tokens.get(account_id, {}).pop(token_hash, None)

        await self._gate.commit(change)

    async def list(self, account_id: bytes) -> tuple[DeliveryToken, ...]:
        """All of the account."""
        self._gate.check()
        return tuple(
            sorted(self._image.tokens.get(account_id, {}).values(), key=lambda each: each.token_hash)
        )

    async def resolve(self, account_id: bytes, token_hash: bytes, *, now_ms: int) -> DeliveryToken | None:
        """The token if it is good."""
        self._gate.check()
        token = self._image.tokens.get(account_id, {}).get(token_hash)
        return token if token is not None and _is_good(token, now_ms) else None

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget expired ones."""

        def change() -> int:
            gone = [
                (account_id, token.token_hash)
                for account_id, tokens in self._image.tokens.items()
                for token in tokens.values()
                if not _is_good(token, now_ms)
            ][:limit]
            for account_id, token_hash in gone:
                del self._image.tokens[account_id][token_hash]
            return len(gone)

        return await self._gate.commit(change)
