"""Settings: the order of their sources, and what is refused in which words."""

from pathlib import Path

import pytest

from relay.config import ConfigInvalid, is_loopback, load_settings, options_of, split_listen
from relay.wire import limits


def load(file: Path | None = None, environment: dict[str, str] | None = None, **command_line: object):
    return load_settings(file=file, environment=environment or {}, command_line=command_line)


def test_each_source_overrides_the_one_below(tmp_path: Path):
    file = tmp_path / "relay.toml"
    file.write_text(
        'listen = "127.0.0.1:1"\norigin = "https://file.example"\n[limits]\nmailbox_envelopes = 5\n'
    )
    environment = {"TOKENIM_RELAY_LISTEN": "127.0.0.1:2", "TOKENIM_RELAY_LIMITS__BLOB_TTL_SECONDS": "61"}

    assert load(file).listen == "127.0.0.1:1"
    assert load(file, environment).listen == "127.0.0.1:2"
    settings = load(file, environment, listen="127.0.0.1:3", data=None)
    assert (settings.listen, settings.origin) == ("127.0.0.1:3", "https://file.example")
    assert (settings.limits.mailbox_envelopes, settings.limits.blob_ttl_seconds) == (5, 61)
    assert settings.limits.mailbox_bytes == limits.MAILBOX_BYTES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('listn = "127.0.0.1:1"', "there is no setting `listn`; did you mean `listen`?"),
        ("[limits]\nmailbox_envelope = 5", "did you mean `limits.mailbox_envelopes`?"),
        ("[rates.device]\nburts = 5", "`rates.device.burts`"),
        ("registrations_an_hour = true", "`registrations_an_hour`: a number is wanted, not true"),
        ("[limits]\nmailbox_envelopes = false", "`limits.mailbox_envelopes`: a number is wanted, not false"),
        (
            "[limits]\nmailbox_envelopes = 0",
            "`limits.mailbox_envelopes`: Input should be greater than or equal to 1",
        ),
        ("[limits]\nmax_ttl_seconds = 2592001", "less than or equal to 2592000"),
        ('origin = "https://chat.example/"', "without a path or a slash at the end"),
        ('origin = "ftp://chat.example"', "an origin is scheme://host"),
        (
            "forwarded_for = true",
            "there is no setting `forwarded_for` any more: anybody could have sent that header",
        ),
        ('[proxy]\ntrusted = ["0.0.0.0/0"]', "0.0.0.0/0 is everybody"),
        ('[proxy]\ntrusted = ["10.0.0.1/8"]', "`proxy.trusted.0`: 10.0.0.1/8 has host bits set"),
        ('[proxy]\ntrusted = ["proxy.example"]', "write an address or a network"),
        (
            'web_origins = ["*"]',
            "`web_origins.0`: * would let every page that a user visits speak with this relay",
        ),
        ('web_origins = ["https://*.example"]', "name the origins of the pages that may"),
        ('web_origins = ["https://App.example:443"]', "browsers write this origin https://app.example"),
        ('web_origins = ["https://app.example/"]', "without a path or a slash at the end"),
        (
            'web_origins = ["http://app.example"]',
            "setting `web_origins`: http://app.example: by http a page can be changed",
        ),
        (
            'origin = "http://chat.example"',
            "setting `origin`: by http all can be read and changed on its way",
        ),
        ('listen = "0.0.0.0:80"', "setting `listen`: by plain HTTP on 0.0.0.0:80 all can be read"),
        ('[tls]\ncertificate = "a.pem"', "setting `tls.certificate`: stands without tls.key"),
        ('[tls]\nkey = "a.pem"', "setting `tls.key`: stands without tls.certificate"),
        (
            'origin = "http://chat.example"\nplain_http = true\n[tls]\ncertificate = "a.pem"\nkey = "b.pem"',
            "setting `origin`: the relay speaks TLS, so it is https://",
        ),
        ('listen = "8080"', "HOST:PORT"),
        ('listen = "::1:8080"', "in brackets"),
        ('listen = "127.0.0.1:65536"', "HOST:PORT"),
        ("listen =", "not TOML"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, text: str, told: str):
    file = tmp_path / "relay.toml"
    file.write_text(text)
    with pytest.raises(ConfigInvalid) as refused:
        load(file)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_variable_of_the_environment_is_refused_and_others_are_not_ours():
    with pytest.raises(ConfigInvalid, match="did you mean `TOKENIM_RELAY_LISTEN`"):
        load(environment={"TOKENIM_RELAY_LISTNE": "127.0.0.1:1"})
    with pytest.raises(
        ConfigInvalid, match="there is no setting `TOKENIM_RELAY_QQQ`; `tokenim-relay config show`"
    ):
        load(environment={"TOKENIM_RELAY_QQQ": "1"})
    with pytest.raises(
        ConfigInvalid, match="environment: there is no setting `TOKENIM_RELAY_FORWARDED_FOR` any more"
    ):
        load(environment={"TOKENIM_RELAY_FORWARDED_FOR": "true"})
    assert load(environment={"TOKENIM_HOME": "/nowhere", "PATH": "/bin"}).listen == "127.0.0.1:8080"


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ConfigInvalid, match="there is no such file: correct --config"):
        load(tmp_path / "nothing.toml")


def test_every_setting_has_a_description_and_a_name_of_its_own():
    options = list(options_of(load()))
    names = [option.name for option in options]
    assert {"listen", "limits.mailbox_bytes", "rates.registration.burst"} <= set(names)
    assert len(names) == len(set(names))
    assert all(option.description for option in options)


def test_what_a_setting_takes_is_told():
    allowed = {option.name: option.allowed for option in options_of(load())}
    assert allowed["limits.max_ttl_seconds"] == "from 60 to 2592000"
    assert allowed["rates.lookup.per_second"] == "above 0 to 1000000"
    assert (allowed["registration"], allowed["plain_http"]) == (
        '"invite", "admin", "open", "closed"',
        "true, false",
    )
    assert (allowed["listen"], allowed["tls.key"]) == ("", "")


def test_what_is_advertised_is_every_limit_of_the_wire_with_the_operators_in_place():
    settings = load(limits={"mailbox_envelopes": 7})
    advertised = settings.limits.advertised()
    assert advertised.keys() == limits.ADVERTISED.keys()
    assert advertised["mailbox_envelopes"] == 7


@pytest.mark.parametrize(
    ("listen", "parsed"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("relay.example:443", ("relay.example", 443)),
    ],
)
def test_addresses_to_listen_on(listen: str, parsed: tuple[str, int]):
    assert split_listen(listen) == parsed


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "relay.example")],
)
def test_what_only_this_machine_reaches(host: str, only_here: bool):
    assert is_loopback(host) is only_here


def test_a_list_of_the_environment_has_commas():
    trusted = load(
        environment={"TOKENIM_RELAY_PROXY__TRUSTED": "127.0.0.1, 10.0.0.0/8,fd00::/8"}
    ).proxy.trusted
    assert [str(network) for network in trusted] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    assert load(environment={"TOKENIM_RELAY_PROXY__TRUSTED": ""}).proxy.trusted == ()


def test_e7_what_may_go_in_the_clear_is_said_or_on_this_machine():
    assert load(listen="0.0.0.0:80", origin="http://chat.example", plain_http=True).plain_http
    assert load(
        listen="[::1]:80", origin="http://localhost:80", web_origins=["http://127.0.0.1:3000"]
    ).web_origins
    assert load(listen="127.0.0.1:80", origin="https://chat.example").origin  # a proxy speaks TLS
    tls = {"certificate": "a.pem", "key": "b.pem"}
    assert load(listen="0.0.0.0:443", origin="https://chat.example", tls=tls).speaks_tls


APNS = {"key_file": "/k.p8", "key_id": "ABC123DEFG", "team_id": "TEAM123456", "topic": "org.example.chat"}


def test_a_key_of_apns_needs_to_be_named_with_all_that_it_is_for():
    assert load(push={"apns": APNS}).push.apns.missing == ()
    for name in ("key_id", "team_id", "topic"):
        lacking = {key: value for key, value in APNS.items() if key != name}
        with pytest.raises(ConfigInvalid, match=f"push.apns.key_file.*without push.apns.{name}"):
            load(push={"apns": lacking})


@pytest.mark.parametrize(
    ("service", "changes"),
    [
        ("apns", {**APNS, "url": "http://127.0.0.1:80"}),  # there is no HTTP/2 without TLS at APNs
        ("apns", {**APNS, "url": "https://api.push.apple.com/"}),
        ("apns", {**APNS, "key_file": "-----BEGIN PRIVATE KEY-----"}),
        ("apns", {**APNS, "key_id": "abc"}),
        ("apns", {**APNS, "topic": "a\r\nb: c"}),
        ("fcm", {"url": "http://fcm.googleapis.com"}),
        ("fcm", {"token_url": "http://oauth2.googleapis.com/token"}),
        ("fcm", {"token_url": "ftp://oauth2.googleapis.com/token"}),
    ],
)
def test_e7_push_services_are_spoken_to_by_tls_and_keys_stand_in_files(service, changes):
    with pytest.raises(ConfigInvalid, match=f"push.{service}"):
        load(push={service: changes})


def test_what_stands_in_for_fcm_on_this_machine_may_be_reached_by_http():
    here = {"url": "http://127.0.0.1:8000", "token_url": "http://127.0.0.1:8000/token"}
    assert load(push={"fcm": here}).push.fcm.url == here["url"]
