"""The transparency log over HTTP: heads and proofs, to whoever asks."""

from aiohttp import web

from relay.services.transparency import Inclusion
from relay.wire import resources as models

from .call import Call, answer


def told_inclusion(inclusion: Inclusion) -> models.Inclusion:
    """A proof as it stands in an answer."""
    return models.Inclusion(head=inclusion.head.signed, index=inclusion.index, hashes=list(inclusion.hashes))


async def head(call: Call) -> web.StreamResponse:
    """GET /v1/transparency/head."""
    newest = await call.services.transparency.head()
    return answer(models.HeadAnswer(head=newest.signed))


async def consistency(call: Call) -> web.StreamResponse:
    """GET /v1/transparency/consistency?from=N&to=N."""
    hashes = await call.services.transparency.consistency(call.query_int("from", 0), call.query_int("to", 0))
    return answer(models.ConsistencyAnswer(hashes=list(hashes)))
