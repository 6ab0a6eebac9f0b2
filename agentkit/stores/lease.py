"""Who works on a session: one living process at a time.

A lease names its owner: machine, process and the process's start time. On the same machine the
system knows whether that process lives, so a dead one's lease is taken over at once. From another
machine only the heartbeat can tell: every ``BEAT`` seconds the owner renews its leases, and after
``EXPIRY`` seconds without it they may be taken. Moments are those of the store's clock, never of
the machine that asks, so that two machines with different clocks agree.

An owner that lost its lease finds out at its next ``append``, which the store refuses.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from agentkit.errors import SessionInUse, StoreError

BEAT = 10.0
"""Seconds between two heartbeats."""
EXPIRY = 45.0
"""Seconds of silence after which the owner on another machine counts as dead."""
_HERE: set[str] = set()
"""Tokens of this process's leases."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds a lease."""

    token: str
    """Of this one lease; no two are the same."""
    host: str
    """Its machine's name, for people."""
    machine: str
    """Within this, process numbers mean something: the boot, and the PID name space."""
    pid: int
    born: str
    """The process's start time as its system gives it: numbers of processes are used again."""
    since: str
    """When the lease began, by the owner's clock, for people."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since[:19].replace('T', ' ')} UTC)"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Owner:
        return cls(**json.loads(text))

    @property
    def is_local(self) -> bool:
        """Whether this system knows the process."""
        return self.machine == machine()

    @property
    def is_dead(self) -> bool:
        """Whether this system knows that the process has ended."""
        if not self.is_local:
            return False
        if self.pid == os.getpid():
            return self.token not in _HERE
        found = birth(self.pid)
        return found is None or bool(found and self.born and found != self.born)


def this_process() -> Owner:
    """A new lease's owner."""
    from agentkit.events import now

    pid = os.getpid()
    owner = Owner(secrets.token_hex(8), platform.node(), machine(), pid, birth(pid) or "", now())
    _HERE.add(owner.token)
    return owner


def forget(owner: Owner) -> None:
    """This process works under that lease no longer, whatever the store could note of it."""
    _HERE.discard(owner.token)


def may_take(session_id: str, held: str, silent: float) -> None:
    """Whether a lease that somebody holds may be taken over.

    Args:
        held: the owner as JSON.
        silent: seconds since its last heartbeat, by the store's clock.

    Raises:
        SessionInUse: the owner lives, or may.
    """
    owner = Owner.from_json(held)
    if owner.is_local:
        if not owner.is_dead:
            raise SessionInUse(session_id, str(owner))
    elif silent < EXPIRY:
        raise SessionInUse(session_id, str(owner), ends=EXPIRY - silent)


def check_held(session_id: str, held: str | None, mine: Owner | None) -> None:
    """Whether this writer may append.

    Args:
        held: the owner as the store has it, as JSON; None where nobody has a lease.

    Raises:
        StoreError: somebody else has the lease, or ours is gone.
    """
    if held is None and mine is None:
        return
    if held is None:
        raise StoreError(
            f"the lease of session {session_id} is gone: it was deleted or taken over meanwhile",
            hint="Nothing was written; `agentkit sessions show` tells what there is",
        )
    owner = Owner.from_json(held)
    if mine is None or owner.token != mine.token:
        raise StoreError(
            f"session {session_id} was taken over by {owner}",
            hint="Nothing was written; let that process end, then resume",
        )


@cache
def machine() -> str:
    """Names the boot of this machine and the PID name space."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()}/{_asked('sysctl', '-n', 'kern.bootsessionuuid')}"


def birth(pid: int) -> str | None:
    """When the process began, as its system gives it; None: it has ended, "": not to be known."""
    if not Path("/proc/self/stat").exists():
        return _asked("ps", "-o", "lstart=", "-p", str(pid)) or None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if _is_gone(pid) else ""  # /proc may hide what is another user's
    # The name in brackets may hold anything; state and start time are the 3rd and 22nd field.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _asked(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


class Keeper:
    """The leases of one store object, renewed by a thread while there are any.

    A thread, because an event loop may be busy for longer than a lease lasts.
    """

    def __init__(self, beat: Callable[[list[str]], None]) -> None:
        self._beat = beat
        self._owners: dict[str, Owner] = {}
        self._lock = threading.Lock()
        self._done: threading.Event | None = None

    def get(self, session_id: str) -> Owner | None:
        return self._owners.get(session_id)

    def sessions(self) -> list[str]:
        return list(self._owners)

    def add(self, session_id: str, owner: Owner) -> None:
        with self._lock:
            self._owners[session_id] = owner
            if self._done is None:
                self._done = threading.Event()
                name = "agentkit-leases"
                threading.Thread(
                    target=self._run, args=(self._done,), name=name, daemon=True
                ).start()

    def pop(self, session_id: str) -> Owner | None:
        with self._lock:
            owner = self._owners.pop(session_id, None)
            if owner is not None:
                forget(owner)
            if not self._owners and self._done is not None:
                self._done.set()
                self._done = None
            return owner

    def _run(self, done: threading.Event) -> None:
        while not done.wait(BEAT):
            with self._lock:
                tokens = [owner.token for owner in self._owners.values()]
            try:
                self._beat(tokens)
            except StoreError:
                continue  # the medium fails: the work finds out itself, or it comes back in time
