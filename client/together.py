"""Two directions of one connection, run together: the first that ends, ends both, and its error is the error."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_together(*directions: Coroutine[Any, Any, None]) -> None:
    """Run all until one returns or raises; the others are cancelled and awaited. Raises that one's error as it is."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [task.exception() for task in tasks if task in done]
    errors += [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            raise error
