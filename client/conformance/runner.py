"""Runs cases, one after another or side by side, each within its time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final, TypeVar

import aiohttp

from .case import Case
from .report import Failed, NotClaimed, NotReady, Outcome, Result, told_rated

WITHIN_SECONDS: Final = 240.0
_RATED: Final = 429
Subject = TypeVar("Subject")


async def run(
    cases: Iterable[Case[Subject]], subject: Subject, unclaimed: Mapping[str, str], jobs: int = 1
) -> AsyncIterator[Result]:
    """The result of each, in their order; a case may find that it is not claimed.

    `unclaimed`: levels of which no case is run, and why.
    `jobs`: so many at once, where no case of the subject is in another's way. Raises NotReady: then no case could go on.
    """
    turns = asyncio.Semaphore(jobs)
    running = [asyncio.create_task(_result(case, subject, unclaimed, turns)) for case in cases]
    try:
        for task in running:
            yield await task
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _result(
    case: Case[Subject], subject: Subject, unclaimed: Mapping[str, str], turns: asyncio.Semaphore
) -> Result:
    if (why := unclaimed.get(case.level)) is not None:
        return Result(case.case_id, case.level, case.proves, "not claimed", 0.0, why)
    async with turns:
        began = time.monotonic()
        outcome, why = await _try(case, subject)
        return Result(case.case_id, case.level, case.proves, outcome, time.monotonic() - began, why)


async def _try(case: Case[Subject], subject: Subject) -> tuple[Outcome, str]:
    try:
        why = await _why_not(case, subject)
    except NotClaimed as missing:
        return "not claimed", str(missing)
    return ("failed" if why else "passed"), why


async def _why_not(case: Case[Subject], subject: Subject) -> str:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            await case.body(subject)
    except (NotClaimed, NotReady):
        raise
    except Failed as failure:
        return str(failure)
    except TimeoutError:
        return f"it did not come to its end within {WITHIN_SECONDS:g} s"
    except (aiohttp.ClientError, ConnectionError) as error:
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status == _RATED:
            raise NotReady(told_rated(f"GET {error.request_info.url.path}")) from error
        return f"the connection failed: {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  # whatever it is: told as this case's, and the others go on
        # What came has not the shape that the document gives it; a defect of the kit would look the same.
        return f"what came is not of the shape that the document says: {type(error).__name__}: {error}"
    return ""
