"""A process of a relay of several nodes without `api` in `work`: clients get nothing there, who watches it gets all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from relay.testing import TestRelay, open_test_relay
from relay.web.admin import ADMIN_ROUTES, WATCH_ROUTES
from relay.web.call import Route
from relay.web.health import HEALTH_ROUTES
from relay.web.routes import ROUTES
from tests.relay_process import run
from tests.servers.databases import give_back, new_database
from tests.servers.postgres import PostgresServer

CLIENTS = [route for route in ROUTES if route not in HEALTH_ROUTES]
OPERATORS = [route for route in ADMIN_ROUTES if route not in WATCH_ROUTES]


@asynccontextmanager
async def process(postgres: PostgresServer, folder: Path, *work: str) -> AsyncIterator[TestRelay]:
    url, password = await new_database(postgres), folder / "postgres.password"
    password.touch(0o600)
    password.write_text("tokenim\n")
    async with open_test_relay(
        store="postgres",
        postgres={"url": url.replace(":tokenim@", "@"), "password_file": password},
        origin="http://127.0.0.1:8080",
        work=work,
        admin={"listen": "127.0.0.1:0"},
    ) as relay:
        yield relay
    await give_back(postgres, url)


async def statuses(url: str | None, routes: list[Route]) -> dict[str, int]:
    """What each answers to a request without a body, by method and path."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as http:

        async def ask(route: Route) -> int:
            async with http.request(
                route.method, f"{url}{route.path.replace('{', '').replace('}', '')}"
            ) as it:
                return it.status

        answers = await asyncio.gather(*(ask(route) for route in routes))
    return {f"{route.method} {route.path}": status for route, status in zip(routes, answers, strict=True)}


@pytest.mark.parametrize("work", [["push"], ["housekeeping"], ["push", "housekeeping"]], ids=" ".join)
async def test_without_api_nothing_of_clients_and_operators_is_there(
    postgres: PostgresServer, tmp_path: Path, work: list[str]
) -> None:
    async with process(postgres, tmp_path, *work) as relay:
        assert relay.owner_invite is None
        assert not (relay.folder / "owner-invite").exists()
        assert set((await statuses(relay.url, CLIENTS)).values()) == {404}
        assert set((await statuses(relay.admin_url, OPERATORS)).values()) == {404}
        refused = await asyncio.to_thread(run, "dashboard", "link", "--data", str(relay.folder))
        assert refused.returncode != 0
        assert "there is no dashboard here" in refused.stderr


async def test_without_api_who_watches_it_is_answered_at_both_listeners(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with process(postgres, tmp_path, "push") as relay:
        assert set((await statuses(relay.url, list(HEALTH_ROUTES))).values()) == {200}
        assert set((await statuses(relay.admin_url, list(WATCH_ROUTES))).values()) == {200}
        tasks = {task.get_name() for task in asyncio.all_tasks()}
        assert {"leadership", "vitals"} <= tasks
        assert not tasks & {"other-nodes", "samples"}


async def test_with_api_alone_a_process_is_there_for_clients_and_operators(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with process(postgres, tmp_path, "api") as relay:
        assert relay.owner_invite is not None
        document = next(route for route in ROUTES if route.path == "/.well-known/tokenim")
        assert set((await statuses(relay.url, [document, *HEALTH_ROUTES])).values()) == {200}
        page = next(route for route in ADMIN_ROUTES if route.path == "/")
        assert set((await statuses(relay.admin_url, [page, *WATCH_ROUTES])).values()) == {200}
        assert {"other-nodes", "samples"} <= {task.get_name() for task in asyncio.all_tasks()}
