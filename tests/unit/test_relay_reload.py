"""Settings that change while the relay runs: which come into effect, which wait, and that they do what they say."""

import asyncio
import base64
from typing import Any

from client.relay_terms import find_terms
from relay.config import Settings, changes_between, load_settings, options_of
from relay.services.reload import apply, digest_of
from relay.wire.codec import SUBPROTOCOL, decode_from_relay
from relay.wire.frames import Notice, NoticeKind
from tests.chatting import open_people
from tests.running_relay import World, open_world


def settings(**given: Any) -> Settings:
    return load_settings(file=None, environment={}, command_line=given)


def test_what_changed_comes_into_effect_or_waits_for_a_restart():
    running = settings(listen="127.0.0.1:1", limits={"mailbox_envelopes": 5})
    wanted = settings(
        listen="127.0.0.1:2",
        origin="https://chat.example",
        log_level="error",
        rates={"device": {"burst": 7}},
        proxy={"trusted": ["10.0.0.0/8"]},
    )
    changes = changes_between(running, wanted)
    assert changes.reloaded == (
        "log_level",
        "proxy.trusted",
        "limits.mailbox_envelopes",
        "rates.device.burst",
    )
    assert changes.waiting == ("listen", "origin")
    in_effect = changes.settings
    assert (in_effect.listen, in_effect.origin) == ("127.0.0.1:1", None)
    assert in_effect.proxy == wanted.proxy
    assert (in_effect.limits, in_effect.rates) == (wanted.limits, wanted.rates)
    assert changes_between(in_effect, wanted).reloaded == ()


def test_what_can_be_reloaded_is_said_by_each_setting():
    reloaded = {option.name for option in options_of(Settings()) if option.reload}
    waiting = {option.name for option in options_of(Settings()) if not option.reload}
    assert {
        "log_level",
        "proxy.trusted",
        "registration",
        "limits.mailbox_bytes",
        "rates.token.per_second",
    } <= reloaded
    assert {"data", "listen", "origin", "plain_http", "tls.certificate", "tls.key"} <= waiting


def change(world: World, **given: Any) -> None:
    """As SIGHUP does, with these settings changed."""
    before = world.relay.services.settings
    wanted = load_settings(file=None, environment={}, command_line={**before.model_dump(), **given})
    changes = changes_between(before, wanted)
    assert changes.waiting == ()
    apply(world.relay.services, changes.settings)


async def test_changed_limits_and_rates_hold_from_the_next_request_on_and_connections_hear_of_it():
    async with open_world() as world:
        device = await world.member()
        socket = await world.session.ws_connect(f"{world.relay.url}/v1/connect", protocols=(SUBPROTOCOL,))
        await socket.receive_bytes()
        limits = world.relay.services.settings.limits.model_dump() | {
            "max_blob_bytes": 9,
            "mailbox_envelopes": 1,
        }
        rates = world.relay.services.settings.rates.model_dump() | {
            "lookup": {"burst": 1, "per_second": 0.01}
        }

        change(world, limits=limits, rates=rates, log_level="error")

        (notice,) = decode_from_relay(await socket.receive_bytes())
        assert notice == Notice(NoticeKind.LIMITS_CHANGED, (digest_of(world.relay.services.settings),))
        document = await (await world.session.get(f"{world.relay.url}/.well-known/tokenim")).json()
        assert (document["limits"]["max_blob_bytes"], document["limits"]["mailbox_envelopes"]) == (9, 1)
        checksum = base64.b64encode(bytes(32)).decode()
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": f"sha256 {checksum}"}
        assert (await device.call("POST", "/v1/blobs", headers=headers)).status == 413
        lookups = [(await device.call("GET", "/v1/handles/nobody")).status for _ in range(2)]
        assert lookups == [403, 429]
        world.relay.services.log.info("unheard")
        assert "unheard" not in world.relay.log.getvalue()

        change(world, registration="closed")
        stranger = world.device()
        assert (await stranger.register(await world.relay.invite())).code == "not_allowed"

        change(world, rates={})  # no limit of the document is another one: nobody hears of it
        change(world, limits=limits | {"mailbox_envelopes": 2})
        (notice,) = decode_from_relay(await socket.receive_bytes())
        assert notice.data == (digest_of(world.relay.services.settings),)


async def test_a_client_that_is_connected_asks_for_the_new_terms(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        await alice.send("bob", "hello")  # opens the connection for submits

        async def bits() -> int:
            return (await alice._account._database.read(find_terms)).public_work_bits

        assert await bits() != 7
        limits = people.world.relay.services.settings.limits.model_dump() | {"public_work_bits": 7}
        change(people.world, limits=limits)
        async with asyncio.timeout(5):
            while await bits() != 7:  # noqa: ASYNC110  (the client tells nobody)
                await asyncio.sleep(0.01)
