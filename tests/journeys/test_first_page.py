"""The first page of docs/protocol.md, played against a relay: what is shown, in that order, and nothing else.

The relay's name and clock are those of the page, so that all that the client signs is as shown, but for the challenge.
"""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from nacl.signing import SigningKey, VerifyKey

from relay.composition import Machine
from relay.testing import open_test_relay
from relay.wire.codec import decode_from_relay, encode_message
from relay.wire.frames import Accepted, Challenge, Deliver, Frame, Outcome
from relay.wire.links import InviteLink, decode_bytes, encode_bytes, parse_invite
from relay.wire.transcripts import relay_document_transcript, websocket_transcript
from tests.architecture.source import ROOT
from tests.raw_device import Answered, send
from tests.running_relay import ShiftedClock

FOLDER = ROOT / "tests" / "vectors"
WAY = json.loads((FOLDER / "first_message.json").read_text(encoding="utf-8"))
WHO = json.loads((FOLDER / "wire.json").read_text(encoding="utf-8"))["identity"]
KEY = SigningKey(bytes.fromhex(WHO["signing_seed"]))
MADE_BY_THE_RELAY = {"challenge", "relay_time_ms", "limits_digest", "received_at_ms"}


def page() -> list[str]:
    """The blocks of code of the first page, joined as its introduction says: behind a backslash a line goes on."""
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    generated = text.partition("<!-- generated: first_page -->")[2].partition("<!-- end -->")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", generated, re.MULTILINE)
    return [
        re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n").replace("\\\n", "") for block in blocks
    ]


def http(first: str, headers: list[str], body: str) -> str:
    """As the page shows a request or an answer."""
    return "\n".join([first, *headers, *(["", body] if body else [])])


class Player:
    """A stranger who does what the page shows; `shown` is what was on the way, as the page writes it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, invite: InviteLink) -> None:
        self.session, self.url, self.invite = session, url, invite
        self.shown = [WAY["invite"]]

    async def ask(self, exchange: dict[str, Any]) -> Answered:
        """The request as shown; the secret of the invite is that of this relay."""
        first = f"{exchange['method']} {exchange['target']}"
        self.shown.append(http(first, exchange["headers"], exchange["body"]))
        shown_secret = encode_bytes(parse_invite(WAY["invite"]).secret)
        answer = await send(
            self.session,
            exchange["method"],
            self.url + exchange["target"],
            data=exchange["body"].replace(shown_secret, encode_bytes(self.invite.secret)).encode() or None,
            headers=dict(header.split(": ", 1) for header in exchange["headers"]),
        )
        self.shown.append(http(str(exchange["status"]), exchange["answer_headers"], exchange["answer"]))
        assert answer.status == exchange["status"], answer.body
        for header in exchange["answer_headers"]:
            name, value = header.split(": ", 1)
            assert name == "TokenIM-Signature" or answer.headers[name].split(";")[0] == value
        return answer

    async def upgrade(self, asked: str, expected: str) -> None:
        """These very lines, on a connection of their own: the relay answers as the page shows."""
        self.shown += [asked, expected]
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(asked.replace("\n", "\r\n").encode() + b"\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        finally:
            writer.close()
            await writer.wait_closed()
        first, *headers = expected.splitlines()
        assert head[0] == first
        assert {name.lower() for name in headers} <= {name.lower() for name in head[1:]}

    async def talk(self, messages: list[dict[str, str]]) -> list[Frame]:
        """One connection: each message in its turn. What the relay said."""
        heard: list[Frame] = []
        address = f"{self.url}/v1/connect"
        async with self.session.ws_connect(address, protocols=(WAY["subprotocol"],)) as socket:
            for message in messages:
                shown = bytes.fromhex(message["message"])
                if message["frame"] == "authenticate":
                    self.shown.append(WAY["device"]["transcript"])
                self.shown.append(message["message"])
                if message["from"] == "client":
                    await socket.send_bytes(signed_anew(shown, heard))
                    continue
                (frame,) = decode_from_relay(await socket.receive_bytes(timeout=20))
                (expected,) = decode_from_relay(shown)
                own = {
                    name: getattr(frame, name)
                    for name in MADE_BY_THE_RELAY & set(type(expected).__struct_fields__)
                    if type(frame) is type(expected)
                }
                assert frame == msgspec.structs.replace(expected, **own)
                heard.append(frame)
        return heard


def signed_anew(message: bytes, heard: list[Frame]) -> bytes:
    """The same, but `authenticate` with the signature over the challenge that came, made as the shown one was."""
    shown = bytes.fromhex(WAY["device"]["signature"])
    challenge = next(frame.challenge for frame in heard if isinstance(frame, Challenge))
    return message.replace(shown, signature_over(challenge))


def signature_over(challenge: bytes) -> bytes:
    origin, device = parse_invite(WAY["invite"]).origin, bytes.fromhex(WHO["device_id"])
    return KEY.sign(websocket_transcript(origin=origin, device_id=device, challenge=challenge)).signature


def check_document(answer: Answered, signing_key: bytes) -> None:
    """It is signed by the key of the invite, as the page says, and has all names that are shown."""
    signature = decode_bytes(answer.headers["TokenIM-Signature"])
    VerifyKey(signing_key).verify(relay_document_transcript(answer.body), signature)
    shown = json.loads(WAY["http"][0]["answer"])
    assert set(answer.json) == set(shown)
    assert set(answer.json["limits"]) == set(shown["limits"])


async def test_who_does_what_the_first_page_shows_receives_the_message() -> None:
    clock, origin = ShiftedClock(), parse_invite(WAY["invite"]).origin
    clock.jump(seconds=(WAY["delivery_token"]["time_ms"] - clock.now_ms()) / 1_000)
    assert signature_over(bytes.fromhex(WAY["device"]["challenge"])).hex() == WAY["device"]["signature"]
    async with (
        open_test_relay(machine=Machine(clock=clock), origin=origin) as relay,
        aiohttp.ClientSession() as session,
    ):
        invite = parse_invite(await relay.invite())
        player = Player(session, relay.url, invite)
        document, registration, token = WAY["http"]
        check_document(await player.ask(document), invite.signing_key)
        player.shown.append(WAY["document"]["transcript"])
        assert (await player.ask(registration)).json == json.loads(registration["answer"])
        player.shown.append(WAY["delivery_token"]["transcript"])
        await player.ask(token)
        await player.upgrade(*(block for block in page() if "Sec-WebSocket" in block))
        assert any(isinstance(frame, Accepted) for frame in await player.talk(WAY["anonymous"]))
        received = await player.talk(WAY["device"]["messages"])
    assert [frame.ciphertext for frame in received if isinstance(frame, Deliver)] == [b"\2\1" + bytes(254)]
    assert player.shown == page()


async def test_without_the_token_nothing_can_be_sent() -> None:
    """The step that the page once left out."""
    clock, origin = ShiftedClock(), parse_invite(WAY["invite"]).origin
    clock.jump(seconds=(WAY["delivery_token"]["time_ms"] - clock.now_ms()) / 1_000)
    refused = Accepted(1, (Outcome.NOT_ALLOWED,))
    messages = [*WAY["anonymous"][:-1]]
    async with (
        open_test_relay(machine=Machine(clock=clock), origin=origin) as relay,
        aiohttp.ClientSession() as session,
    ):
        player = Player(session, relay.url, parse_invite(await relay.invite()))
        await player.ask(WAY["http"][1])
        messages.append({"from": "relay", "frame": "accepted", "message": encode_message([refused]).hex()})
        assert (await player.talk(messages))[-1] == refused
