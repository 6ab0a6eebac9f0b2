"""A persistent shell over one byte stream: run, limit, kill, restart, keep its state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

import anyio

from agentkit.errors import SandboxError, SandboxGone
from agentkit.sandbox import DEFAULT_KEEP, FLOOD_LIMIT, Ended, ExecResult, OutputCallback
from agentkit.sandboxes import _requests as requests
from agentkit.sandboxes._call import Call, Limits, clock
from agentkit.sandboxes._channel import STDERR, STDOUT, Channel, ChannelClosed
from agentkit.sandboxes._control import Control, Host, Target
from agentkit.sandboxes._records import Record, Scanner, new_nonce
from agentkit.sandboxes._saved import StateKeeper
from agentkit.sandboxes._scripts import SUPERVISOR

__all__ = ["PersistentShell", "ShellKind", "check_names", "reject_nul"]

ShellKind = Literal["auto", "bash", "sh"]

GRACE = 0.5
"""Seconds between TERM and KILL."""
_EXAMINE = 1.0
_BACKLOG = 64
"""Pieces of output; a flood always has one more."""
_START_LIMIT = 20.0
_SETTLE_LIMIT = 3.0
_SPOILT = (b"here-document at line", b"unexpected EOF while looking for matching")


class PersistentShell:
    """Implements ``agentkit.sandbox.Shell`` on whatever can start `/bin/sh`.

    The host knows after each command what has to survive the shell's death (see ``State``). A
    shell that dies is replaced within the same stream by its supervisor; a stream that breaks is
    replaced by a new one. In both cases the state is replayed.
    """

    def __init__(
        self,
        host: Host,
        control: Control,
        name: str,
        *,
        workdir: str,
        prefix: str,
        kind: ShellKind = "auto",
        keeper: StateKeeper | None = None,
    ) -> None:
        self.name = name
        self._host, self._control = host, control
        self._sandbox_id = prefix
        self._keeper = keeper
        self._prefix = f"{prefix}.{name}{keeper.epoch if keeper else ''}."
        self._kind: ShellKind = kind
        self._state = requests.State(cwd=workdir.encode("utf-8", "surrogateescape"))
        self._initial: frozenset[bytes] = frozenset()
        self._lock = anyio.Lock(fast_acquire=True)
        self._channel: Channel | None = None
        self._scanners: dict[int, Scanner] = {}
        self._dialect = requests.DIALECTS["sh"]
        self._key = ""
        self._old_keys: tuple[str, ...] = ()
        self._supervisor = self._pid = self._job = self._count = self._status = 0
        self._busy: Call | None = None
        self._opened = self._look = 0.0
        self._closed = False

    @property
    def cwd(self) -> str:
        return self._state.cwd.decode("utf-8", "surrogateescape")

    async def run(
        self,
        command: str,
        *,
        timeout: float | None = 300.0,
        idle_timeout: float | None = None,
        keep: int = DEFAULT_KEEP,
        flood_limit: int = FLOOD_LIMIT,
        on_output: OutputCallback | None = None,
    ) -> ExecResult:
        reject_nul(command)
        limits = Limits(timeout, idle_timeout, keep, flood_limit, on_output)
        async with self._lock:
            restarted = await self._ready()
            call = self._new_call(limits, stateful=True)
            plain = self._steady() and requests.is_plain(command)
            status = 0 if plain else self._status
            body = requests.shell_body(self._dialect, command, status=status, split=False)
            if plain:
                after = requests.plain_epilogue(self._dialect, call.nonce)
            else:
                after = requests.epilogue(self._dialect, call.nonce, stateful=True)
            text = requests.request_text(call.cookie, body, after)
            return await self._perform(call, text, b"", restarted)

    async def run_apart(
        self,
        command: str,
        *,
        cwd: str,
        env: Mapping[str, str],
        stdin: bytes,
        limits: Limits,
        split: bool,
    ) -> ExecResult:
        """Run in a child of this shell, which keeps nothing of it."""
        check_names(env)
        reject_nul(command, cwd, *env.values())
        async with self._lock:
            await self._ready()
            call = self._new_call(limits, split=split)
            body = requests.apart_body(
                self._dialect,
                command,
                cwd=cwd,
                env=env,
                split=split,
                stdin="" if stdin else "</dev/null",
            )
            after = requests.epilogue(self._dialect, call.nonce, stateful=False)
            text = requests.request_text(call.cookie, body, after)
            if stdin:
                body = requests.with_input(self._dialect, body, len(stdin), call.asks, after)
                text = requests.request_text(call.cookie, body, "")
            return await self._perform(call, text, stdin, restarted=False)

    async def close(self) -> None:
        """End the shell and what it runs in the foreground."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._discard()

    async def abandon(self) -> None:
        """Close our end only; whoever owns the sandbox ends its processes."""
        self._closed = True
        await self._discard(close_only=True)

    # One command, from its text to its result.

    def _new_call(self, limits: Limits, *, split: bool = False, stateful: bool = False) -> Call:
        self._count += 1
        return Call(limits, new_nonce(), f"{self._prefix}{self._count}:", split, stateful)

    def _steady(self) -> bool:
        """Whether programs cannot change the shell's state: nothing of the user's has a say."""
        state = self._state
        return self._dialect.name == "bash" and not (state.definitions or state.traps)

    async def _perform(self, call: Call, text: bytes, stdin: bytes, restarted: bool) -> ExecResult:
        self._busy = call
        self._expect(self._key, call.nonce, call.asks)
        try:
            ended = await self._converse(call, text, stdin)
            if ended is not None:
                await self._stop(call)
            return await self._result(call, ended, restarted)
        except ChannelClosed:
            return await self._lost(call)
        except BaseException:
            # Cancelled, or the callback raised: the command must not run on.
            with anyio.CancelScope(shield=True), anyio.move_on_after(_START_LIMIT):
                await self._stop_quietly(call)
            raise

    async def _converse(self, call: Call, text: bytes, stdin: bytes) -> Ended | None:
        """Send the request and follow it; the name of the limit that ended it, or None."""
        if not stdin and len(text) < 1 << 16:
            await self._send(text)
            return await self._follow(call)
        # Large texts: the shell may print before it has read all, so send and read at once.
        ended: Ended | None = None
        broken: ChannelClosed | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._feed, call, text, stdin)
            try:
                ended = await self._follow(call)
            except ChannelClosed as error:
                broken = error
            group.cancel_scope.cancel()
        if broken is not None:
            raise broken
        return ended

    async def _feed(self, call: Call, text: bytes, stdin: bytes) -> None:
        try:
            await self._send(text)
            if stdin:
                await call.ready.wait()
                await self._send(stdin)
        except ChannelClosed:
            return

    async def _follow(self, call: Call) -> Ended | None:
        examine = time.monotonic() + _EXAMINE
        while not (call.ended() or call.told(self._key)):
            moment, limit = call.deadline()
            left = moment - time.monotonic()
            if left <= 0:
                await self._catch_up(call)
                late = time.monotonic() >= call.deadline()[0]
                if late and not (call.ended() or call.told(self._key)):
                    return limit
                continue
            if call.flooded():
                return "flood"
            if time.monotonic() >= examine:
                if ended := await self._host.examine():
                    return ended
                examine = time.monotonic() + _EXAMINE
            with anyio.move_on_after(min(left, _EXAMINE)):
                await self._receive(call)
        return None

    async def _catch_up(self, call: Call) -> None:
        """Take what has come already: this process may have been held up, and not the command."""
        for _ in range(_BACKLOG):
            with anyio.move_on_after(0) as scope:
                await self._receive(call)
            if scope.cancelled_caught:
                return

    async def _receive(self, call: Call) -> None:
        assert self._channel is not None
        stream, data = await self._channel.receive()
        for piece in self._scanners[stream].feed(data):
            if isinstance(piece, Record):
                call.records[stream, piece.nonce] = piece.payload
                if piece.nonce == call.asks:
                    call.ready.set()
            else:
                call.take(stream, piece)

    async def _send(self, data: bytes) -> None:
        assert self._channel is not None
        await self._channel.send(data)

    async def _result(self, call: Call, ended: Ended | None, restarted: bool) -> ExecResult:
        """Read the records, replace a shell that died, and say how the command ended."""
        died = call.records.get((STDOUT, self._key))
        if died is not None:
            code = int(died[1:])
            restarted = True
            await self._start_shell()
        elif call.ended() and call.report is not None:
            code = self._note(call.report)
            if call.stateful:
                await self._remember(call)
            restarted = await self._defuse(call) or await self._renew(call) or restarted
        else:
            code, restarted = 137, True
        self._busy = None
        if ended is None and code == 137 and await self._control.oom_happened():
            ended = "oom"
        if ended is not None and ended != "oom":
            code = 137 if ended in ("flood", "disk") else 124
        self._status = code
        return self._make_result(call, code, ended or "exit", restarted)

    def _make_result(self, call: Call, code: int, ended: Ended, restarted: bool) -> ExecResult:
        return ExecResult(
            exit_code=code,
            output=call.out.result(),
            stderr=call.err.result() if call.split else None,
            ended=ended,
            cwd=self.cwd,
            shell_restarted=restarted,
            duration=time.monotonic() - call.started,
        )

    async def _remember(self, call: Call) -> None:
        """Keep the state for the shell's end, and where it changed also for that of our process."""
        before = self._state
        self._state = call.state(before)
        if self._keeper is not None and self._state != before:
            await self._keeper.save(self.name, self._state)

    def _note(self, report: requests.Report) -> int:
        """Keep what the next command's end will need; the exit status."""
        if report.job != self._job:
            # It left something in the background: see before the next command what it became.
            self._look = 0.0
        self._pid, self._job = report.pid, report.job
        return report.code

    async def _defuse(self, call: Call) -> bool:
        """End a fork bomb that has just kept this command from starting a process."""
        if b"fork" not in call.out.last() + call.err.last() or not await self._crowded():
            return False
        await self._start_over()
        return True

    async def _renew(self, call: Call) -> bool:
        """Replace a bash that may have spoilt its own memory.

        bash 5.2 writes beyond it at a here-document without an end inside ``$(``, and would die of
        that in some later command.
        """
        if self._dialect.name != "bash" or not all(it in call.out.last() for it in _SPOILT):
            return False
        await self._stop(call, grace=0)
        if self._channel is not None:
            await self._start_shell()
        return True

    async def _make_way(self) -> bool:
        """End a fork bomb in the background before it spoils a command; looks once a second."""
        if (now := time.monotonic()) < self._look:
            return False
        self._look = now + _EXAMINE
        if not await self._crowded():
            return False
        await self._start_over()
        return True

    async def _crowded(self) -> bool:
        return await self._control.crowded(self._supervisor, self._prefix)

    async def _start_over(self) -> None:
        """End all that this shell has started: which command's the bomb is cannot be known."""
        self._job = 0
        everything = Call(Limits(keep=0), new_nonce(), self._prefix, began=self._opened)
        await self._stop(everything, grace=0)
        if self._channel is not None:
            await self._start_shell()
        # What was refused until now says nothing about the next command.
        await self._control.full()

    # What goes wrong.

    async def _stop(self, call: Call, grace: float = GRACE) -> None:
        """Kill the command and C, and wait for the supervisor to report it."""
        with anyio.CancelScope(shield=True):
            target = Target(self._supervisor, self._pid, call.cookie, self._job)

            async def drain(seconds: float) -> bool:
                return await self._drain(call, seconds)

            await self._control.end(target, call.age, drain, grace)
            if not await self._drain(call, _SETTLE_LIMIT):
                await self._discard()

    async def _drain(self, call: Call, seconds: float) -> bool:
        """Read for so long, or until C's end was reported; True then."""
        with anyio.move_on_after(seconds):
            while not call.told(self._key):
                await self._receive(call)
        return call.told(self._key)

    async def _stop_quietly(self, call: Call) -> None:
        call.limits = Limits(keep=0)
        try:
            await self._stop(call)
        except Exception:
            self._control.owe(call.cookie)
            await self._discard(close_only=True)
            return
        if call.told(self._key):
            await self._start_quietly()

    async def _start_quietly(self) -> None:
        try:
            await self._start_shell()
        except (ChannelClosed, SandboxError):
            await self._discard()
        else:
            self._busy = None

    async def _lost(self, call: Call) -> ExecResult:
        """The stream broke under a command: find out why, and have a shell again."""
        revived = False
        with anyio.CancelScope(shield=True):
            await self._discard(close_only=True)
            try:
                revived = await self._host.revive()
            except SandboxError:
                # Only the way to it may be gone: then the command is still running.
                self._control.owe(call.cookie)
                raise
            if not revived:
                await self._control.end(
                    Target(self._supervisor, self._pid, call.cookie, self._job),
                    call.age,
                    _nothing,
                    0.0,
                )
            await self._ready()
        self._status = 137
        ended: Ended = "lost" if revived else "exit"
        if not revived and await self._control.oom_happened():
            ended = "oom"
        return self._make_result(call, 137, ended, restarted=True)

    # Opening, and opening again.

    async def _ready(self) -> bool:
        """Have a shell that can take a request; True when an earlier one was lost."""
        if self._closed:
            raise SandboxGone(f"the shell {self.name!r} was closed", hint="Open another one")
        first = self._channel is None and not self._supervisor
        if first and self._keeper and (kept := await self._keeper.load(self.name)) is not None:
            self._state, first = kept, False
        # A stream that has ended is noticed before anything is sent: no command is half run.
        if self._busy is not None or (self._channel is not None and not self._channel.alive()):
            await self._discard()
        bomb = False
        if self._channel is not None:
            try:
                bomb = await self._make_way()
            except ChannelClosed:
                await self._discard()
        if self._channel is not None:
            return bomb
        for attempt in range(3):
            try:
                await self._open()
                return not first
            except ChannelClosed as error:
                await self._host.revive()
                await self._make_room(attempt, error)
        raise AssertionError("unreachable")

    async def _make_room(self, attempt: int, error: Exception) -> None:
        """Remove what may have kept a shell from starting, one thing at a time."""
        if attempt == 0:
            # A start-up file (BASH_ENV) may be what ends bash.
            self._kind = "sh" if self._kind == "auto" else self._kind
        elif attempt == 1:
            # No process can be started any more: end all that commands have started.
            await self._control.reap(self._sandbox_id)
        else:
            raise SandboxError(
                "no shell can be started in the sandbox",
                tried=f"three times, the last after ending all its processes ({error})",
                hint="Open a new sandbox",
            ) from error

    async def _open(self) -> None:
        try:
            await self._open_stream()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._discard(close_only=True)
            raise

    async def _open_stream(self) -> None:
        await self._control.open()
        arguments = ["/bin/sh", "-c", SUPERVISOR, "agentkit", self._kind]
        self._channel = await self._host.spawn(arguments, {"AK_SHELL": self._prefix})
        self._opened = clock()
        self._scanners = {STDOUT: Scanner(), STDERR: Scanner()}
        self._key = new_nonce()
        self._expect(self._key)
        await self._send(f"{self._key}\n".encode())
        call = Call(Limits(keep=0), self._key, "")
        await self._await_end(call)
        greeting = call.records[STDERR, self._key]
        number, _, dialect = greeting[1:].decode().partition(" ")
        self._supervisor = int(number)
        self._dialect = requests.DIALECTS[dialect]
        await self._control.adopt(self._supervisor)
        try:
            await self._begin(self._state)
        except _Died:
            await self._start_shell()

    async def _start_shell(self) -> None:
        """Have the supervisor start another C with the state of the last."""
        for attempt in range(3):
            old, self._key = self._key, new_nonce()
            self._old_keys = (old, *self._old_keys)[:3]
            # The line feed ends whatever half line the dead shell left unread.
            await self._send(f"\n{old} {self._key}\n".encode())
            try:
                return await self._begin(self._state.without(attempt))
            except _Died:
                continue
        raise ChannelClosed("three new shells in a row have died at once")

    async def _begin(self, state: requests.State) -> None:
        nonce = new_nonce()
        self._expect(self._key, nonce)
        removed = self._initial - state.names() if state.exports else frozenset[bytes]()
        folder = await self._control.folder(self._sandbox_id)
        scratch = f"{folder}/state.{self.name}" if folder else ""
        await self._send(requests.start_text(self._dialect, state, removed, nonce, scratch))
        call = Call(Limits(keep=0), nonce, "", stateful=True)
        await self._await_end(call)
        assert call.report is not None
        self._pid, self._job = call.report.pid, call.report.job
        self._state = call.state(state)
        self._initial = self._initial or self._state.names()
        self._busy = None

    async def _await_end(self, call: Call) -> None:
        with anyio.move_on_after(_START_LIMIT):
            while not call.ended():
                await self._receive(call)
                if call.nonce != self._key and call.told(self._key):
                    raise _Died
            return
        raise ChannelClosed(f"no shell within {_START_LIMIT:g} s")

    async def _discard(self, *, close_only: bool = False) -> None:
        """Give the stream up, with everything that runs in the foreground on it."""
        channel, self._channel = self._channel, None
        self._busy = None
        if channel is None:
            return
        try:
            if not close_only:
                end = f"kill -KILL {self._pid} {self._supervisor} 2>/dev/null"
                await self._control.request(end)
        finally:
            # Also where the sandbox is gone, and with it the shell that would kill.
            await channel.aclose()

    def _expect(self, *nonces: str) -> None:
        for scanner in self._scanners.values():
            # The other stream may still bring the last shell's end, under the key it had.
            scanner.expect((*nonces, *self._old_keys))


class _Died(Exception):
    """A new shell ended before it could take a request."""


async def _nothing(seconds: float) -> bool:
    return True


def reject_nul(*texts: str) -> None:
    """Refuse what no shell can be told."""
    if any("\0" in text for text in texts):
        raise ValueError("a command cannot contain a NUL character; the shell would cut it there")
    try:
        "".join(texts).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a command cannot contain half a character: {error.object[error.start]!r} alone"
        ) from None


def check_names(env: Mapping[str, str]) -> None:
    """Refuse names of variables that no shell takes; some would be taken for commands."""
    for name in env:
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"a variable's name is letters, digits and _; got {name!r}")
