"""What a test starts: asks the server for a copy, and is its shadow. Imports nothing that is not built into Python."""

import _signal
import _socket
import array
import marshal
import os
import sys

PASSED_ON = (
    _signal.SIGTERM,
    _signal.SIGINT,
    _signal.SIGHUP,
    _signal.SIGQUIT,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
)


def main() -> None:
    _, place, *words = sys.argv
    door = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    door.connect(place)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, PASSED_ON)
    asked = marshal.dumps((words, os.getcwd(), dict(os.environ)))  # noqa: PTH109 - pathlib would be imported
    door.sendmsg([asked], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    pid = int(door.recv(64))
    name = os.open("/proc/self/comm", os.O_WRONLY)
    os.write(name, b"copy %d" % pid)  # for who wants to know, and for `ps`
    os.close(name)
    for number in PASSED_ON:
        _signal.signal(number, lambda which, _: os.kill(pid, which))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, PASSED_ON)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # a pipe ends when the copy ends, and not this
        os.dup2(null, number)
    status = int(door.recv(64) or -_signal.SIGKILL)
    if status < 0:
        _signal.signal(-status, _signal.SIG_DFL) if -status not in (
            _signal.SIGKILL,
            _signal.SIGSTOP,
        ) else None
        os.kill(os.getpid(), -status)
    os._exit(status)


main()
