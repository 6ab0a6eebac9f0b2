"""Jobs: commands that run by themselves, with a bounded record of their output in the sandbox.

A job's output goes through a pump inside the sandbox into pieces of a file, of which the last ones
are kept. So a server may print for days while nobody reads, nothing of it passes the engine before
it is asked for, and it is still there when this process has crashed. Where nothing is writable in
the sandbox the output waits on the stream instead, and the job with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio
from anyio.lowlevel import checkpoint

from agentkit.errors import FileError, SandboxError
from agentkit.sandbox import DEFAULT_KEEP, JOB_KEEP, JobInfo, JobOutput
from agentkit.sandboxes._channel import Channel, ChannelClosed
from agentkit.sandboxes._control import Control, Host, Target
from agentkit.sandboxes._files import Files
from agentkit.sandboxes._records import Record, Scanner, new_nonce
from agentkit.sandboxes._scripts import quote
from agentkit.sandboxes._shell import ShellKind, check_names, reject_nul
from agentkit.sandboxes._shield import shielded

__all__ = ["Jobs", "RunningJob"]

_START_LIMIT = 20.0
_NOBODY = 1 << 23
"""A process number that no system gives: the job's shell is not ended apart from its command."""
_ORIGIN = 10**15
"""Pieces are named by where they begin, plus this, so that names sort and have no leading zero."""
_LARGEST_ARGUMENT = 100_000

# $1 folder ("" = none) $2 cookie $3 directory $4 command (only without a folder) $5 kind of shell
# $6 bytes of a piece $7 key of the greeting $8 what the pump is marked with.
# The traps keep `kill 0` from ending the part that tells how the command ended.
_JOB = r"""
trap : HUP INT QUIT TERM
d=$1 c=sh
[ "$5" = sh ] || { command -v bash >/dev/null 2>&1 && c=bash; }
_run() {
    trap : HUP INT QUIT TERM
    ( trap - HUP INT QUIT TERM; cd -- "$3" || exit 1; export AK_CMD="$2"
      if [ -n "$d" ]; then exec $c "$d/command"; else exec $c -c "$4"; fi )
    s=$?
    if [ -n "$d" ]; then echo $s >"$d/code"; else printf '\036%s:E%s:%s\036\n' "$7" "$s" "$7"; fi
}
[ -z "$d" ] || printf '%s\n' "$$" >"$d/pid" || exit 1
printf '\036%s:J%s:%s\036\n' "$7" "$$" "$7"
if [ -n "$d" ]; then
    _run "$@" 2>&1 | AK_CMD=$8 sh -c "$9" pump "$d" "$6"
else
    _run "$@" 2>&1
fi
"""

# $1 folder $2 bytes of a piece. dd reads what there is and writes it at once; head might read more
# than it passes on. A piece that brings nothing new is the end.
_PUMP = r"""
trap : HUP INT QUIT TERM
b=1000000000000000 n=0 old=
while :; do
    dd bs=8192 count=64 >>"$1/out.$b" 2>/dev/null || break
    s=$(wc -c <"$1/out.$b")
    [ "$s" -gt "$n" ] || { : >"$1/done"; exit; }
    n=$s
    [ "$n" -lt "$2" ] || { [ -z "$old" ] || rm -f "$1/out.$old"; old=$b b=$((b + n)) n=0; }
done
echo 'no space for output' >"$1/done"
cat >/dev/null
"""

# For each folder after $1: name, process, code, running, done, started, pieces, command; NUL ends.
_LIST = r"""
for d in {folders}; do
    [ -f "$d/pid" ] || continue
    p= c= t= a=0
    read -r p <"$d/pid"; read -r t <"$d/started"
    [ ! -s "$d/code" ] || read -r c <"$d/code"
    # Not by kill -0: on this machine an ended job may wait for us to collect it.
    _stat "$p" && case $l in Z*|X*) ;; *) a=1 ;; esac
    z=0; [ ! -e "$d/done" ] || z=1
    printf '%s\0%s\0%s\0%s\0%s\0%s\0' "${d##*/job.}" "$p" "$c" "$a" "$z" "$t"
    for f in "$d"/out.*; do
        [ ! -f "$f" ] || { s=$(wc -c <"$f") && printf '%s %s ' "${f##*.}" $s; }
    done
    printf '\0'; cat "$d/command"; printf '\0'
done 2>/dev/null
"""
_FIELDS = 8


@dataclass(frozen=True, slots=True)
class _Facts:
    """One job, as its folder tells it."""

    info: JobInfo
    process: int
    complete: bool
    """The pump has met the end of the output."""
    pieces: tuple[tuple[int, int], ...]
    """Where each piece begins, and its size."""


class Jobs:
    """The jobs of one sandbox."""

    def __init__(
        self, host: Host, control: Control, files: Files, sandbox_id: str, kind: ShellKind
    ) -> None:
        self.control, self.files, self.sandbox_id = control, files, sandbox_id
        self._host = host
        self._kind: ShellKind = kind
        self._jobs: dict[str, RunningJob] = {}
        self._made = 0

    async def start(
        self, command: str, *, name: str | None, cwd: str, env: Mapping[str, str], keep: int
    ) -> RunningJob:
        check_names(env)
        reject_nul(command, cwd, *env.values())
        known = {info.name: info for info in await self.list()}
        name = name or self._free_name(known)
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"a job's name is letters, digits, - and _; got {name!r}")
        if name in known and known[name].running:
            raise ValueError(f"a job named {name!r} is running; kill it, or take another name")
        job = RunningJob(self, name, command, time.time())
        job.folder = await self._make_folder(name, command, job.started)
        arguments = self._arguments(job, command, cwd, keep)
        channel = await self._host.spawn(arguments, {**env, "AK_SHELL": job.cookie})
        try:
            # Up to its greeting: what the engine has not started yet could not be ended.
            await shielded(lambda: job.attach(channel, arguments[-3]))
            await checkpoint()
        except BaseException:
            with anyio.CancelScope(shield=True):
                if job.supervisor:
                    await job.kill(grace=0.0)
                await channel.aclose()
                await self.control.reap_only(job.cookie)
                if job.folder:
                    await self.control.request(f"rm -rf {quote(job.folder)}")
            raise
        self._jobs[name] = job
        return job

    async def get(self, name: str) -> RunningJob:
        if name in self._jobs:
            return self._jobs[name]
        facts = {each.info.name: each for each in await self.read_all()}.get(name)
        if facts is None:
            raise SandboxError(
                f"there is no job named {name!r}",
                hint="Its output is lost with the sandbox that it ran in; start it again",
            )
        job = RunningJob(self, name, facts.info.command, facts.info.started)
        job.folder = await self._folder_of(name)
        job.supervisor = facts.process
        self._jobs[name] = job
        return job

    async def list(self) -> list[JobInfo]:
        kept = [each.info for each in await self.read_all()]
        names = {info.name for info in kept}
        streamed = [job for job in self._jobs.values() if not job.folder and job.name not in names]
        infos = [*kept, *[await job.info() for job in streamed]]
        return sorted(infos, key=lambda info: (info.started, info.name))

    async def read_all(self) -> list[_Facts]:
        root = await self.control.folder(self.sandbox_id)
        return await self.read(f"{quote(root)}/job.*") if root else []

    async def read(self, folders: str) -> list[_Facts]:
        _, reply = await self.control.request(_LIST.replace("{folders}", folders))
        fields = reply.split(b"\0")
        rows = (fields[i : i + _FIELDS] for i in range(0, len(fields) - _FIELDS + 1, _FIELDS))
        return [_facts(row) for row in rows]

    async def close(self) -> None:
        """Close our ends; the processes are the backend's business."""
        for job in self._jobs.values():
            await job.detach()

    def _free_name(self, known: Mapping[str, JobInfo]) -> str:
        while True:
            self._made += 1
            if f"job{self._made}" not in known:
                return f"job{self._made}"

    async def _folder_of(self, name: str) -> str:
        return f"{await self.control.folder(self.sandbox_id)}/job.{name}"

    async def _make_folder(self, name: str, command: str, started: float) -> str:
        """A fresh folder with the command in it; "" where nothing is writable."""
        if not await self.control.folder(self.sandbox_id):
            return ""
        folder = await self._folder_of(name)
        word = quote(folder)
        body = (
            f"rm -rf {word}; mkdir -m 700 {word} && echo {started:.3f} >{word}/started"
            f" && [ -s {word}/started ]"
        )
        code, _ = await self.control.request(body)
        with suppress(FileError):
            if code == 0:
                text = command.encode("utf-8", "surrogateescape")
                await self.files.write(f"{folder}/command", text, 0o600)
                return folder
        await self.control.request(f"rm -rf {word}")
        return ""

    def _arguments(self, job: RunningJob, command: str, cwd: str, keep: int) -> list[str]:
        if not job.folder and len(command) > _LARGEST_ARGUMENT:
            raise ValueError(
                f"a job's command may have {_LARGEST_ARGUMENT:,} characters in a sandbox in which"
                f" nothing is writable; this one has {len(command):,}"
            )
        text = "" if job.folder else command
        piece = str(max(1 << 16, keep // 2))
        shell = ["/bin/sh", "-c", _JOB, "agentkit", job.folder, job.cookie, cwd, text]
        pump = f"{self.sandbox_id}.@pump:"
        return [*shell, self._kind, piece, new_nonce(), pump, _PUMP]


class RunningJob:
    """Implements ``agentkit.sandbox.Job``."""

    def __init__(self, jobs: Jobs, name: str, command: str, started: float) -> None:
        self._jobs = jobs
        self.name = name
        self.command = command
        self.started = started
        self.cookie = f"{jobs.sandbox_id}.@job-{name}.1:"
        self.folder = ""
        self.supervisor = 0
        self._channel: Channel | None = None
        self._scanner = Scanner()
        self._key = ""
        # Where there is no folder: what has come over the stream.
        self._ring = bytearray()
        self._dropped = 0
        self._code: int | None = None
        self._lock = anyio.Lock()

    async def attach(self, channel: Channel, key: str) -> None:
        """Take the stream of a job that is being started, up to its greeting."""
        self._channel, self._key = channel, key
        self._scanner.expect([key])
        with anyio.move_on_after(_START_LIMIT):
            while not self.supervisor:
                try:
                    await self._receive()
                except ChannelClosed as error:
                    raise SandboxError("the job could not be started", tried=str(error)) from error
            return
        raise SandboxError(f"the job did not start within {_START_LIMIT:g} s")

    async def info(self) -> JobInfo:
        if not self.folder:
            await self._receive_waiting()
            end = self._dropped + len(self._ring)
            running = self._code is None
            return JobInfo(self.name, self.command, running, self._code, self.started, end)
        return (await self._facts()).info

    async def poll(self, since: int = 0, *, max_bytes: int = DEFAULT_KEEP) -> JobOutput:
        if since < 0 or max_bytes < 0:
            raise ValueError("since and max_bytes count bytes: 0 or more")
        if not self.folder:
            info = await self.info()
            start = min(max(since, self._dropped), info.total)
            index = start - self._dropped
            return JobOutput(bytes(self._ring[index : index + max_bytes]), start, info)
        while True:
            facts = await self._facts()
            first = facts.pieces[0][0] if facts.pieces else 0
            start = min(max(since, first), facts.info.total)
            data = await self._read(facts, start, max_bytes)
            if data or start >= facts.info.total or not max_bytes:
                return JobOutput(data, start, facts.info)
            # The pump has dropped that piece in the meantime: look again behind it.
            since = next(begin + size for begin, size in facts.pieces if start < begin + size)

    async def _read(self, facts: _Facts, start: int, max_bytes: int) -> bytes:
        parts: list[bytes] = []
        position = start
        for begin, size in facts.pieces:
            want = min(begin + size, start + max_bytes) - position
            if position < begin or want <= 0:
                continue
            with suppress(FileError):
                path = f"{self.folder}/out.{_ORIGIN + begin}"
                parts.append(await self._jobs.files.read_part(path, position - begin, want))
                position += len(parts[-1])
        return b"".join(parts)

    async def wait(self, timeout: float | None = None) -> int | None:
        with anyio.move_on_after(timeout):
            pause = 0.005
            while (info := await self.info()).running:
                await anyio.sleep(pause)
                pause = min(pause * 1.5, 0.25)
            # What the command printed last may still be on its way through the pump.
            for _ in range(50):
                if not self.folder or (await self._facts()).complete:
                    break
                await anyio.sleep(0.01)
            return info.exit_code
        return None

    async def write(self, data: bytes, *, end: bool = False) -> None:
        if self._channel is None:
            raise SandboxError(
                f"the input of the job {self.name!r} has ended",
                hint="It was closed, or lost with the process that started the job",
            )
        try:
            if data:
                await self._channel.send(data)
            if end:
                await self._end_input(self._channel)
        except ChannelClosed as error:
            raise SandboxError(f"the job {self.name!r} has ended", tried=str(error)) from error

    async def kill(self, *, grace: float = 1.0) -> int | None:
        target = Target(self.supervisor, _NOBODY, self.cookie)

        async def drain(seconds: float) -> bool:
            await anyio.sleep(seconds)
            return False

        with anyio.CancelScope(shield=True):
            await self._jobs.control.end(target, lambda: time.time() - self.started, drain, grace)
            return await self.wait(5.0)

    async def detach(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.aclose()

    async def _end_input(self, channel: Channel) -> None:
        try:
            channel.end_input()
        except NotImplementedError:
            if self.folder:
                # Giving up the whole connection ends the input, too, and the output is in files.
                await self.detach()
                return
            raise SandboxError(
                "this connection to the engine cannot end a job's input alone",
                hint="Let the command read a line or a count of bytes instead",
            ) from None

    async def _facts(self) -> _Facts:
        found = await self._jobs.read(quote(self.folder))
        if not found:
            raise SandboxError(
                f"the record of the job {self.name!r} is gone",
                tried=self.folder,
                hint="Something in the sandbox deleted it, or the sandbox was started again",
            )
        facts = found[0]
        return replace(facts, info=replace(facts.info, command=self.command))

    async def _receive_waiting(self) -> None:
        """Take what the stream has to say at this moment."""
        async with self._lock:
            while self._channel is not None and self._code is None:
                with anyio.move_on_after(0.01) as scope:
                    try:
                        await self._receive()
                    except ChannelClosed:
                        self._code = 137
                if scope.cancelled_caught:
                    return

    async def _receive(self) -> None:
        assert self._channel is not None
        _, data = await self._channel.receive()
        for piece in self._scanner.feed(data):
            if not isinstance(piece, Record):
                self._keep(piece)
            elif piece.payload.startswith(b"J"):
                self.supervisor = int(piece.payload[1:])
            else:
                self._code = int(piece.payload[1:])

    def _keep(self, data: bytes) -> None:
        self._ring += data
        if (over := len(self._ring) - JOB_KEEP) > 0:
            del self._ring[:over]
            self._dropped += over


def _facts(row: list[bytes]) -> _Facts:
    name, process, code, alive, done, started, pieces, command = row
    numbers = [int(word) for word in pieces.split()]
    parts = tuple(
        (name - _ORIGIN, size) for name, size in zip(numbers[::2], numbers[1::2], strict=True)
    )
    running = not code and alive == b"1"
    info = JobInfo(
        name.decode(),
        command.decode("utf-8", "surrogateescape"),
        running,
        None if running else int(code or 137),
        float(started or 0),
        sum(parts[-1]) if parts else 0,
    )
    return _Facts(info, int(process), done == b"1", parts)
