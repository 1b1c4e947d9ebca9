"""deploy/s3/lifecycle.json as a server takes it, and whether it leaves the relay's blobs alone; the doctor on a bucket.

SeaweedFS takes rules and tells them again. That a server acts on them is not tried: the shortest time there is is a day.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from relay.config import LimitSettings, load_settings
from relay.upkeep import examine
from tests.architecture.source import ROOT
from tests.servers.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

RULES = json.loads((ROOT / "deploy" / "s3" / "lifecycle.json").read_text())["Rules"]
DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def as_xml(rules: list[dict[str, Any]]) -> str:
    """As aws s3api sends what is in the file."""

    def element(name: str, value: object) -> str:
        inner = (
            "".join(element(*item) for item in value.items())
            if isinstance(value, dict)
            else escape(str(value))
        )
        return f"<{name}>{inner}</{name}>"

    inner = "".join(element("Rule", rule) for rule in rules)
    return f"<LifecycleConfiguration>{inner}</LifecycleConfiguration>"


def test_a_server_takes_the_rules_and_tells_them_again(s3: S3Server) -> None:
    s3.ask_bucket("PUT", "lifecycle=", as_xml(RULES).encode())
    told = re.sub(r'<\?xml[^>]*>\s*| xmlns="[^"]*"', "", s3.ask_bucket("GET", "lifecycle=").decode())
    for rule in RULES:
        assert f"<ID>{rule['ID']}</ID>" in told
    assert "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>" in told
    assert "<Expiration><Days>60</Days></Expiration>" in told


def test_no_blob_goes_by_a_rule_before_the_relay_lets_it_go() -> None:
    """By default: an object is as old as its part of the upload, and that may have begun earlier."""
    (days,) = [rule["Expiration"]["Days"] for rule in RULES if "Expiration" in rule]
    limits = LimitSettings()
    assert days * DAY_SECONDS > limits.blob_ttl_seconds + 7 * limits.blob_upload_seconds


def finding(tmp_path: Path, endpoint: str, bucket: str = BUCKET) -> tuple[str, str]:
    (tmp_path / "data").mkdir(mode=0o700, exist_ok=True)
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET_KEY + "\n")
    s3 = {"bucket": bucket, "endpoint": endpoint, "access_key": ACCESS_KEY, "secret_key_file": secret}
    settings = load_settings(file=None, environment={}, command_line={"data": tmp_path / "data", "s3": s3})
    (found,) = [one for one in examine(settings) if one.check == "blobs"]
    return found.state, found.found


def test_the_doctor_looks_at_the_bucket(s3: S3Server, tmp_path: Path) -> None:
    assert finding(tmp_path, s3.url) == ("ok", f"the bucket {BUCKET} answers")
    state, told = finding(tmp_path, s3.url, "another")
    assert state == "failed"
    assert told.startswith("the bucket another cannot be used: ")
    assert SECRET_KEY not in told
