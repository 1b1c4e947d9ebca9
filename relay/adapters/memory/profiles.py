"""Profiles in memory."""

from relay.ports.profiles import Profile
from relay.wire.errors import Conflict, NotFound

from .image import Gate


class MemoryProfiles:
    """ProfileStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def put(self, account_id: bytes, profile: Profile) -> None:
        """Keep the newest."""

        def change() -> None:
            if account_id not in self._image.accounts:
                raise NotFound("there is no such account")
            known = self._image.profiles.get(account_id)
            if known == profile:
                return
            if known is not None and profile.version <= known.version:
                raise Conflict(
                    f"the profile has version {known.version} already: fetch it, and put a higher one"
                )
            self._image.profiles[account_id] = profile

        await self._gate.commit(change)

    async def get(self, account_id: bytes) -> Profile | None:
        """The newest."""
        self._gate.check()
        return self._image.profiles.get(account_id)
