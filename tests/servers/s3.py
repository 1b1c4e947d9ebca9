"""A real S3 server from a PyPI wheel (SeaweedFS), for tests and `make cluster`: started and killed."""

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from tests.servers.ports import free_port
from tests.servers.postgres import START_SECONDS

_PROGRAM: Final = shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed"
BUCKET: Final = "blobs"
ACCESS_KEY: Final = "tokenim-access"
SECRET_KEY: Final = "tokenim-secret"


class S3Server:
    """One server on 127.0.0.1 with everything in it, and the bucket `blobs`.

    Two processes: the gateway for S3 opens more ports, one of them always the same, unless it is told not to; only by
    itself does it take that.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self._folder = folder
        self.port = port or free_port()
        self._ports = [free_port() for _ in range(7)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it answers."""
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        identities = self._folder / "s3.json"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        allowed = ["Admin", "Read", "Write", "List", "Tagging"]
        identities.write_text(
            json.dumps({"identities": [{"name": "tokenim", "credentials": credentials, "actions": allowed}]})
        )
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, gateway_grpc = self._ports
        self._run(
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            "-master.volumeSizeLimitMB=64",
            "-master.raftBootstrap=true",
            "-master.telemetry=false",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            "-volume.max=50",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
        )
        self._wait(f"http://127.0.0.1:{filer}/")
        self._run(
            "s3",
            f"-filer=127.0.0.1:{filer}.{filer_grpc}",
            "-ip.bind=127.0.0.1",
            f"-port={self.port}",
            f"-port.grpc={gateway_grpc}",
            "-port.iceberg=0",
            "-port.lance=0",
            f"-config={identities}",
        )
        self._wait(self.url + "/healthz")
        folder = urllib.request.Request(f"http://127.0.0.1:{filer}/buckets/{BUCKET}/", method="POST")
        try:
            urllib.request.urlopen(
                folder, timeout=10
            ).close()  # a bucket of SeaweedFS is a folder of its filer
        except urllib.error.HTTPError as error:
            if error.code != 409:  # it is there, after a restart
                raise

    def _run(self, *arguments: str) -> None:
        with (self._folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [_PROGRAM, *arguments],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "HOME": str(self._folder)},
                    start_new_session=True,
                )
            )

    def _wait(self, url: str) -> None:
        """Until something answers there, whatever it says."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and all(process.poll() is None for process in self._processes):
            try:
                urllib.request.urlopen(url, timeout=1).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"SeaweedFS did not start: {(self._folder / 'log').read_text()[-2000:]}")

    def ask_bucket(self, method: str, query: str, body: bytes = b"") -> bytes:
        """The answer to a signed request about the bucket itself (AWS Signature Version 4): obstore has none of these."""
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": digest, "x-amz-date": at}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"{method}\n/{BUCKET}\n{query}\n{lines}\n{names}\n{digest}"
        scope = f"{at[:8]}/us-east-1/s3/aws4_request"
        meant = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{SECRET_KEY}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, meant.encode(), "sha256").hex()
        known = f"Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
        asked = urllib.request.Request(
            f"{self.url}/{BUCKET}?{query}",
            data=body or None,
            method=method,
            headers={**headers, "Authorization": f"AWS4-HMAC-SHA256 {known}"},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def kill(self) -> None:
        """SIGKILL: what it has answered is in its files. At SIGTERM it takes 15 s."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()
