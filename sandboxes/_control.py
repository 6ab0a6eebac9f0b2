"""The control shell: kills, small files and facts, through one shell that runs no user command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import anyio

from agentkit.errors import SandboxError, SandboxGone
from agentkit.sandbox import Ended
from agentkit.sandboxes._channel import STDOUT, Channel, ChannelClosed
from agentkit.sandboxes._records import Record, Scanner, new_nonce
from agentkit.sandboxes._scripts import CONTROL, CONTROL_ARGUMENTS, quote
from agentkit.sandboxes._shield import shielded

__all__ = ["Control", "Host", "Target"]

_REPLY_LIMIT = 30.0
_CROWD = 20
_WATCH = 0.1


class Host(Protocol):
    """What the runtime needs from a backend."""

    async def spawn(self, argv: list[str], env: Mapping[str, str] | None = None) -> Channel:
        """Start a program in the sandbox, in a kernel session of its own.

        Raises:
            SandboxGone, EngineUnavailable: it cannot be started, and why.
        """
        ...

    async def spawn_as_root(self, argv: list[str]) -> Channel | None:
        """The same as the sandbox's root, who may signal everybody; None where that is no help."""
        ...

    async def examine(self) -> Ended | None:
        """Whether a limit that only the backend knows ends the running command."""
        ...

    async def revive(self) -> bool:
        """Look at the sandbox after a stream broke; True when it had to be started again.

        Raises:
            SandboxGone, EngineUnavailable: there is nothing left to talk to.
        """
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The processes of one command: see ``_scan`` in the control script."""

    supervisor: int
    shell: int
    cookie: str
    job: int = 0
    """What the shell had last put into the background before the command."""

    def arguments(self, earliest: int, latest: int) -> str:
        """Both: when the command began, in 1/100 s of the sandbox's clock."""
        words = f"{self.supervisor} {self.shell} {quote(self.cookie)}"
        return f"{words} {earliest} {latest} {self.job}"


def _only(cookie: str) -> str:
    """Shell code that ends what carries this cookie, whoever's session it is in."""
    return f"x=$_sids; _sids=' '; _reap {quote(cookie)}; _sids=$x"


class Control:
    """One control shell, opened at first use and again when something in the sandbox killed it.

    Args:
        host: where to start it.
        greeting: shell code that runs once at its start.
    """

    def __init__(self, host: Host, greeting: str) -> None:
        self._host = host
        self._greeting = greeting
        self._channel: Channel | None = None
        self._scanner = Scanner()
        self._lock = anyio.Lock(fast_acquire=True)
        self._sessions: set[int] = set()
        self._ooms = 0
        self._owed: list[str] = []

    async def open(self) -> None:
        """Attach now, so that the first kill does not wait for a process to start."""
        self._ooms = await self.count("_ooms")

    def alive(self) -> bool:
        """Whether the control shell is there, as far as its stream tells."""
        return self._channel is not None and self._channel.alive()

    async def request(self, body: str, *, limit: float = _REPLY_LIMIT) -> tuple[int, bytes]:
        """Run our own shell code; return its status and what it printed.

        The call cannot be cancelled in the middle, as half a reply would be taken for the next
        one; it is bounded by ``limit`` seconds instead.
        """
        return await shielded(lambda: self._request(body, limit))

    async def _request(self, body: str, limit: float) -> tuple[int, bytes]:
        async with self._lock:
            try:
                return await self._ask(body, limit)
            except ChannelClosed:
                await self._drop()
                await self._host.revive()
            try:
                return await self._ask(body, limit)
            except ChannelClosed as error:
                await self._drop()
                await self._host.revive()
                raise SandboxGone(
                    "the sandbox's control shell cannot be started",
                    tried=f"twice ({error})",
                    hint="Open a new sandbox",
                ) from error

    async def count(self, body: str, *, limit: float = _REPLY_LIMIT) -> int:
        """Run our own shell code that prints a number."""
        _, reply = await self.request(body, limit=limit)
        digits = reply.split()
        return int(digits[-1]) if digits and digits[-1].isdigit() else 0

    async def adopt(self, supervisor: int) -> None:
        """Remember a kernel session as ours, for the sandbox's end."""
        self._sessions.add(supervisor)
        await self.request(f'_sids="${{_sids}}{supervisor} "')

    async def full(self) -> bool:
        """Whether hardly another process can be started, or one could not lately."""
        return bool(await self.count("_full"))

    async def crowded(self, supervisor: int, prefix: str) -> bool:
        """Whether that is so because of what one shell has started, and goes on being so."""
        if not await self.full():
            return False
        most = f"_most {supervisor} {prefix}"
        if await self.count(most) > _CROWD:
            return True
        # Processes that live for a moment are few at any moment, but the refusals go on.
        await anyio.sleep(_WATCH)
        return await self.full() and await self.count(most) > 0

    async def reap(self, sandbox_id: str) -> None:
        """End everything that commands of this sandbox have started."""
        await self.request(f"_reap {sandbox_id}.")

    async def reap_only(self, cookie: str) -> None:
        """End what carries this cookie, and nothing else."""
        await self.request(_only(cookie))

    def owe(self, cookie: str) -> None:
        """End what carries this cookie as soon as the sandbox can be reached again."""
        if cookie not in self._owed:
            self._owed.append(cookie)

    async def folder(self, sandbox_id: str) -> str:
        """A private folder inside for the runtime's own records; "" where nothing is writable."""
        _, reply = await self.request(f'[ -n "$_d" ] || _dir {sandbox_id}; printf %s "$_d"')
        return reply.decode("utf-8", "surrogateescape")

    async def oom_happened(self) -> bool:
        """Whether the kernel killed for memory since this was last asked."""
        before, self._ooms = self._ooms, await self.count("_ooms")
        return self._ooms > before

    async def end(
        self,
        target: Target,
        age: Callable[[], float],
        drain: Callable[[float], Awaitable[bool]],
        grace: float,
    ) -> None:
        """Stop a command: TERM, then KILL for what is left after ``grace`` seconds.

        Args:
            age: seconds since the command began.
            drain: reads the command's output for that many seconds (a process that is blocked in
                a write cannot end); True when the stream has nothing more to say.
        """
        # The clock was read at some moment between the two ages: on a busy machine, long after
        # it was asked for. Each bound has a tick more, as both clocks are cut to whole ones.
        asked = age()
        now = await self.count(f"_freeze {target.shell}")
        command = target.arguments(now - int(age() * 100) - 2, now - int(asked * 100) + 2)
        left = await self.count(f"_stop TERM {command}") if grace else 0
        with anyio.move_on_after(grace):
            while left and not await drain(0.02):
                left = await self.count(f"_left {command}")
        await self._until_none(f"_kill {command}")

    async def reap_all(self, sandbox_id: str) -> None:
        """``reap``, and whatever of that is another user's."""
        await self._until_none(f"_reap {sandbox_id}.; _count", limit=5)

    async def _until_none(self, body: str, limit: float = _REPLY_LIMIT) -> None:
        """Run code that kills and prints how many it found, until it finds none."""
        for _ in range(2):
            if not await self.count(f"_hold=1; {body}; _hold=", limit=limit):
                return
        # Some cannot be stopped, perhaps as they have changed their user (sudo). Nothing was
        # killed: whose child each is tells more than its environment, which is closed to all.
        with suppress(SandboxError, ChannelClosed):
            await self._as_root(body, limit)
        for _ in range(3):
            if not await self.count(body, limit=limit):
                return

    async def _as_root(self, body: str, limit: float) -> None:
        channel = await self._host.spawn_as_root(["/bin/sh"])
        if channel is None:
            return
        try:
            with anyio.move_on_after(limit):
                await self._begin(channel, "")
                await self._ask_on(channel, Scanner(), body)
        finally:
            await channel.aclose()

    async def aclose(self) -> None:
        await self._drop()

    async def _ask(self, body: str, limit: float) -> tuple[int, bytes]:
        channel = self._channel or await self._attach()
        with anyio.move_on_after(limit):
            return await self._ask_on(channel, self._scanner, body)
        raise ChannelClosed(f"no answer within {limit:g} s")

    async def _ask_on(self, channel: Channel, scanner: Scanner, body: str) -> tuple[int, bytes]:
        nonce = new_nonce()
        scanner.expect([nonce])
        line = f"{{ {body}\n}} 2>&1; printf '\\036%s:%s:%s\\036\\n' {nonce} $? {nonce}\n"
        await channel.send(line.encode("utf-8", "surrogateescape"))
        output: list[bytes] = []
        while True:
            stream, data = await channel.receive()
            if stream != STDOUT:
                continue
            for piece in scanner.feed(data):
                if isinstance(piece, Record):
                    return int(piece.payload), b"".join(output)
                output.append(piece)

    async def _attach(self) -> Channel:
        channel = await self._host.spawn(["/bin/sh", *CONTROL_ARGUMENTS])
        self._scanner = Scanner()
        owed = "".join(f"{_only(cookie)}\n" for cookie in self._owed)
        self._channel = channel
        await self._begin(channel, f"{self._greeting}\n{owed}")
        self._owed.clear()
        return channel

    async def _begin(self, channel: Channel, greeting: str) -> None:
        sessions = "".join(f"{number} " for number in sorted(self._sessions))
        await channel.send(f'{CONTROL}\n_sids=" {sessions}"\n{greeting}\n'.encode())

    async def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.aclose()
