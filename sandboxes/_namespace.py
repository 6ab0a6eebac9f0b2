"""Linux namespaces through bubblewrap, for commands that run on this machine.

Not a boundary against malice: commands are the same user as their caller. It is one against
accidents: the machine is read-only but for the workspace, other processes can be neither seen nor
signalled, and everything inside ends with the process that made it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agentkit.errors import EngineUnavailable

__all__ = ["Namespace", "unavailable"]

_PRIVATE = (".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".agentkit", ".netrc")
_PRIVATE_DEEP = (".config/gcloud", ".config/gh", ".git-credentials", ".pypirc", ".npmrc")
_SOCKETS = ("/run/docker.sock", "/run/podman", "/run/containerd")

# Process 1 of the namespace: ends with its input, that is with us, and collects orphans. Should
# something inside kill its `cat` (kill -9 -1), it starts another.
_INIT = r"""
echo ready; exec 3<&0 >/dev/null
while :; do AK_CMD=init cat <&3 & wait $!; [ $? -gt 128 ] || exit 0; done
"""
_ENTER = 'cd -- "$0" && exec "$@"'
_START_LIMIT = 10.0
_TRIES = 5
"""bubblewrap fails where a mount of the machine (a container's) goes while it goes through them."""


def unavailable() -> str:
    """Why there can be no namespaces here; "" where there can."""
    for program in ("bwrap", "nsenter", "setsid"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    probe = [*_arguments(Path("/"), ()), "true"]
    said = ""
    for _ in range(_TRIES):
        try:
            done = subprocess.run(probe, capture_output=True, timeout=_START_LIMIT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if not done.returncode:
            return ""
        said = done.stderr.decode("utf-8", "replace").strip()
    return said or "bwrap failed"


class Namespace:
    """One running namespace. Blocking calls: use it from a worker thread."""

    def __init__(self, workdir: Path, writable: Sequence[Path]) -> None:
        self._workdir, self._writable = workdir, writable
        self._process, self._pid = self._start()

    def alive(self) -> bool:
        return self._process.poll() is None

    def restart(self) -> None:
        """Make a new one in the place of one that has died."""
        self.close()
        self._process, self._pid = self._start()

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command by which a program starts inside, in a kernel session of its own."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--ipc", *user]
        return [*enter, "setsid", "/bin/sh", "-c", _ENTER, str(self._workdir), *argv]

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            # The end of its first process is the end of all.
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        for _ in range(_TRIES - 1):
            with suppress(EngineUnavailable):
                return self._try()
        return self._try()

    def _try(self) -> tuple[subprocess.Popen[bytes], int]:
        reader, writer = os.pipe()
        try:
            arguments = [
                *_arguments(self._workdir, self._writable),
                *("--as-pid-1", "--info-fd", str(writer)),
                *("/bin/sh", "-c", _INIT),
            ]
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[writer],
                start_new_session=True,
            )
        finally:
            os.close(writer)
        with open(reader, "rb") as info:
            told = info.read()
        assert process.stdout is not None
        # The number is told before the mounts are made; entering earlier would be too early.
        with process.stdout as output:
            ready = output.readline()
        if not told or not ready:
            process.kill()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
            raise EngineUnavailable(
                "bubblewrap could not make a namespace",
                tried=" ".join(arguments[:6]),
                hint="Use namespaces='off' to work without",
            )
        return process, int(json.loads(told)["child-pid"])


def _arguments(workdir: Path, writable: Sequence[Path]) -> list[str]:
    home = Path.home()
    hidden = [home / name for name in (*_PRIVATE, *_PRIVATE_DEEP)]
    hidden += [Path(os.path.realpath(place)) for place in _SOCKETS]
    arguments = ["bwrap", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        arguments += ["--tmpfs", place]
    for place in hidden:
        if place.is_dir():
            arguments += ["--tmpfs", str(place)]
        elif place.exists():
            arguments += ["--ro-bind", "/dev/null", str(place)]
    for place in (workdir, *writable):
        if place != Path("/"):
            arguments += ["--bind", str(place), str(place)]
    return [*arguments, "--unshare-pid", "--unshare-ipc"]
