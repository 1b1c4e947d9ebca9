"""Sealed logs over HTTP: those of the own account by signed requests, those of groups by write key and read token."""

from typing import Final

from aiohttp import web

from relay.ports.sealed_logs import LogPage
from relay.services.roles import Operation
from relay.wire import limits
from relay.wire.log_resources import (
    GroupLogAppendRequest,
    GroupLogRequest,
    LogAnswer,
    LogAppendAnswer,
    LogAppendRequest,
    LogEntry,
)

from .call import Call, answer, nothing

_CREATED: Final = 201


def _told(page: LogPage) -> LogAnswer:
    return LogAnswer(
        entries=[LogEntry(index=one.index, entry=one.entry, at_ms=one.at_ms) for one in page.entries],
        first_index=page.first_index,
        next_index=page.next_index,
    )


async def read(call: Call) -> web.StreamResponse:
    """GET /v1/logs/{name}?from=."""
    call.require(Operation.KEEP_LOGS)
    name = call.request.match_info["name"]
    return answer(_told(await call.services.logs.read(call.signer, name, call.query_int("from", 0))))


async def append(call: Call) -> web.StreamResponse:
    """POST /v1/logs/{name}."""
    call.require(Operation.KEEP_LOGS)
    asked = call.read(LogAppendRequest)
    name = call.request.match_info["name"]
    appended = await call.services.logs.append(call.signer, name, asked.index, asked.entry)
    return answer(LogAppendAnswer(index=asked.index, at_ms=appended.at_ms))


async def trim(call: Call) -> web.StreamResponse:
    """DELETE /v1/logs/{name}?before=."""
    call.require(Operation.KEEP_LOGS)
    name = call.request.match_info["name"]
    await call.services.logs.trim(call.signer, name, call.query_int("before", 0))
    return nothing()


async def create_group(call: Call) -> web.StreamResponse:
    """POST /v1/group-logs: who asks is counted in memory, and not told to the logs."""
    call.require(Operation.CREATE_GROUP_LOG)
    asked = call.read(GroupLogRequest)
    call.services.rates.take_group_log(call.signer.account_id)
    appended = await call.services.logs.create_group(asked)
    return answer(LogAppendAnswer(index=0, at_ms=appended.at_ms), status=_CREATED)


async def append_group(call: Call) -> web.StreamResponse:
    """POST /v1/group-logs/{log_id}/entries."""
    asked = call.read(GroupLogAppendRequest)
    log_id = call.path_id("log_id", limits.LOG_ID_BYTES)
    appended = await call.services.logs.append_group(log_id, asked)
    return answer(LogAppendAnswer(index=asked.index, at_ms=appended.at_ms))


async def read_group(call: Call) -> web.StreamResponse:
    """GET /v1/group-logs/{log_id}?from=."""
    log_id = call.path_id("log_id", limits.LOG_ID_BYTES)
    page = await call.services.logs.read_group(log_id, call.log_token(), call.query_int("from", 0))
    return answer(_told(page))
