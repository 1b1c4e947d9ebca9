"""What travels about profiles over HTTP."""

from typing import Annotated

from pydantic import Field

from . import limits
from .resources import Answer, Base64Url, Counter, Request


class ProfileRequest(Request):
    """PUT /v1/profile: the next version of the own profile, sealed."""

    version: Annotated[int, Field(ge=1, le=2**53)]
    profile: Annotated[Base64Url, Field(min_length=1, max_length=limits.MAX_PROFILE_BYTES)]


class ProfileAnswer(Answer):
    """GET /v1/accounts/{account_id}/profile: the newest version, sealed."""

    version: Counter
    profile: Base64Url
