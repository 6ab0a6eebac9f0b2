"""What agentkit asks of a sandbox. Backends live in ``agentkit.sandboxes``, or with their users.

A *provider* (for instance ``agentkit.sandboxes.Docker``) is a frozen description; it opens one
*sandbox* per session. A sandbox runs commands and keeps files. A *shell* is a persistent shell
inside it: its directory, variables, functions and background jobs live on between commands.

Paths inside a sandbox are POSIX strings. Output is bytes: decoding is the tools' business.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

OutputCallback = Callable[[bytes], None]
"""Called with each piece of output as it arrives. It must not block and must not raise."""

Progress = Callable[[str], None]
"""Called with one line for a person while something slow goes on."""

Ended = Literal["exit", "timeout", "idle", "flood", "disk", "oom", "lost"]
"""How a command ended: by itself, at its time limit, at its idle limit, killed for printing too
much or for filling the disk, killed by the kernel for memory, or with the sandbox itself."""

DEFAULT_KEEP = 1 << 20
FLOOD_LIMIT = 64 << 20
JOB_KEEP = 2 << 20


@dataclass(frozen=True, slots=True)
class Output:
    """What a stream carried: its start, its end, and how much it was in all (bytes)."""

    head: bytes = b""
    tail: bytes = b""
    total: int = 0

    @property
    def omitted(self) -> int:
        """Bytes between head and tail that were not kept."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def data(self) -> bytes:
        """Head and tail together: the whole output where ``omitted`` is 0."""
        return self.head + self.tail


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of one command."""

    exit_code: int
    """The exact exit code; 124 when stopped at a time or idle limit, 137 when killed."""
    output: Output
    """Standard output, or both streams in their true order where they were merged."""
    stderr: Output | None = None
    """Standard error where streams were asked for apart."""
    ended: Ended = "exit"
    cwd: str = ""
    """The shell's directory afterwards (persistent shells only)."""
    shell_restarted: bool = False
    """The shell died with the command (``exit``, a time limit) and was replaced; its directory
    and exported variables were kept, functions and jobs it held may be lost."""
    duration: float = 0.0
    """Seconds."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.ended == "exit"


@dataclass(frozen=True, slots=True)
class FileStat:
    """Facts about one path (symbolic links are followed)."""

    path: str
    kind: Literal["file", "directory", "other"]
    size: int
    """Bytes."""
    mode: int
    """Permission bits, for instance ``0o644``."""
    mtime: float
    """Seconds since the epoch; whole seconds where the image's tools know no better."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend really does; a tool or a policy asks here before it promises anything."""

    isolated: bool
    """Commands cannot reach the host's files and processes."""
    network_policy: bool = False
    """The network can be closed or restricted to an allow-list."""
    memory_limit: bool = False
    pty: bool = False
    jobs: bool = False
    snapshot: bool = False
    fork: bool = False
    reopen: bool = False
    """The sandbox outlives this process and can be opened again from its reference."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a reopened sandbox still held of the commands of an earlier process."""

    killed: frozenset[str]
    """Shells in which a command was under way; it was killed."""
    running: Mapping[str, int]
    """Processes that commands left in the background, by shell; they live on."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What is known of a job without reading its output."""

    name: str
    command: str
    running: bool
    exit_code: int | None
    """None while it runs; 137 where it was killed together with what would have told."""
    started: float
    """Seconds since the epoch, by the sandbox's clock."""
    total: int
    """Bytes of output so far, also those that are no longer kept."""


@dataclass(frozen=True, slots=True)
class JobOutput:
    """A piece of a job's output, both streams in their true order."""

    data: bytes
    start: int
    """Where ``data`` begins, counted from the job's first byte. Larger than what was asked for
    where the ring buffer had dropped the bytes between."""
    info: JobInfo

    @property
    def next(self) -> int:
        """What to ask for in the next call."""
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Match:
    """One line that a search found."""

    path: str
    """Absolute."""
    line: int
    """Counted from 1."""
    text: bytes
    """Without its line feed."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found, in order of path and line."""

    found: tuple[Match, ...]
    truncated: bool
    """There are more than were asked for."""


@runtime_checkable
class Shell(Protocol):
    """A persistent shell. One command at a time; concurrent calls wait for each other.

    Its name is its reference: ``sandbox.shell(name)`` of a sandbox that was reopened continues
    in the directory and with the exported variables of the last command that had ended. The first
    result says ``shell_restarted``, as other variables are gone. A command that was under way is
    killed when the sandbox is reopened.
    """

    @property
    def name(self) -> str: ...

    @property
    def cwd(self) -> str:
        """The directory that the next command starts in."""
        ...

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
        """Run one command and wait for its end; standard input is empty.

        Background jobs that the command started live on. At ``timeout`` seconds of wall clock,
        ``idle_timeout`` seconds without output, or ``flood_limit`` bytes, the command and all
        its processes are killed, the shell lives, and the partial output is returned.

        Args:
            keep: bytes of output to keep, half from the start and half from the end.

        Raises:
            ValueError: the command holds a NUL character.
            SandboxGone: the sandbox has died and cannot be brought back.
            EngineUnavailable: the engine stopped answering.

        Cancelling the call kills the command in the same way.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Job(Protocol):
    """A command that runs by itself, with input and output of its own.

    Its output goes to a ring buffer inside the sandbox, so that nobody has to read it and nothing
    grows. Its name is its reference: ``sandbox.job(name)`` finds it again, also in a sandbox that
    was reopened after a crash (its input has ended then).
    """

    @property
    def name(self) -> str: ...

    async def info(self) -> JobInfo:
        """Whether it runs, or how it ended.

        Raises:
            SandboxGone: the sandbox has died, and the job with it.
        """
        ...

    async def poll(self, since: int = 0, *, max_bytes: int = DEFAULT_KEEP) -> JobOutput:
        """Return output from byte ``since`` on, at once; empty where there is nothing new."""
        ...

    async def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; the exit code, or None if it runs longer than ``timeout`` seconds."""
        ...

    async def write(self, data: bytes, *, end: bool = False) -> None:
        """Write to its standard input, and close that if asked.

        Raises:
            SandboxError: its input has ended, or the job has.
        """
        ...

    async def kill(self, *, grace: float = 1.0) -> int | None:
        """TERM, then KILL for all its processes after ``grace`` seconds; the exit code."""
        ...


@runtime_checkable
class Pty(Protocol):
    """A command at a terminal. What is not read waits; the program waits with it.

    It ends with this process: after a crash only its loss can be said.
    """

    @property
    def name(self) -> str: ...

    @property
    def exit_code(self) -> int | None:
        """None while the command runs (known once ``read`` has met the end)."""
        ...

    async def send(self, data: bytes) -> None:
        r"""Type these bytes (``\r`` is Enter, ``\x03`` Ctrl-C).

        Raises:
            SandboxError: the command has ended.
        """
        ...

    async def read(self, *, timeout: float = 1.0, max_bytes: int = DEFAULT_KEEP) -> bytes:
        """Return what comes next: at least a byte, unless the time or the command has ended.

        Raises:
            SandboxError: it was closed before the command's end was read.
        """
        ...

    async def resize(self, rows: int, columns: int) -> None: ...

    async def close(self) -> None:
        """End the command and everything it started. Safe to call twice."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """One running sandbox, made for one session."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def workdir(self) -> str:
        """The workspace's path inside the sandbox; commands start here."""
        ...

    @property
    def host_workspace(self) -> Path | None:
        """The workspace as this machine sees it, None where only the sandbox sees it."""
        ...

    @property
    def ref(self) -> Mapping[str, str]:
        """What ``SandboxProvider.reopen`` needs to find this sandbox again: JSON-safe."""
        ...

    @property
    def description(self) -> str:
        """One line for people: backend, image, limits, network."""
        ...

    @property
    def remains(self) -> Remains | None:
        """What was found of an earlier process, None where this sandbox was not reopened."""
        ...

    def notices(self) -> list[str]:
        """What is worth telling since this was last asked; a tool shows it beside its result.

        For instance a host that the network policy refused.
        """
        ...

    async def shell(self, name: str = "main") -> Shell:
        """The persistent shell of that name, opened at first use. Shells run in parallel."""
        ...

    async def exec(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = 60.0,
        idle_timeout: float | None = None,
        keep: int = DEFAULT_KEEP,
        flood_limit: int = FLOOD_LIMIT,
        split: bool = False,
        on_output: OutputCallback | None = None,
    ) -> ExecResult:
        """Run a command apart from any shell's state (``sh -c``), with input if given.

        It sees neither the directory nor the variables of a persistent shell. Limits, errors
        and cancellation are those of ``Shell.run``.
        """
        ...

    async def start_job(
        self,
        command: str,
        *,
        name: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        keep: int = JOB_KEEP,
    ) -> Job:
        """Start a command that runs by itself; about the last ``keep`` bytes of output are kept.

        Raises:
            ValueError: a job of that name runs, or the command holds a NUL character.
        """
        ...

    async def job(self, name: str) -> Job:
        """The job of that name, running or ended.

        Raises:
            SandboxError: there is none.
        """
        ...

    async def jobs(self) -> list[JobInfo]:
        """All jobs of this sandbox, oldest first."""
        ...

    async def open_pty(
        self,
        command: str = "",
        *,
        rows: int = 24,
        columns: int = 80,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Pty:
        """Start a command (a shell, if none is given) at a terminal of its own.

        Raises:
            ValueError: the command holds a NUL character, or the size is not 1 to 1000.
        """
        ...

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        """The file's bytes.

        Raises:
            FileError: missing, a directory, denied, or larger than ``max_bytes``.
        """
        ...

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on, of a file of any size.

        Raises:
            FileError: missing, a directory, or denied.
        """
        ...

    async def write_file(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        """Write atomically; parents are made; an existing file keeps its mode unless given.

        Raises:
            FileError: denied, no space, or a directory of that name exists.
        """
        ...

    async def stat(self, path: str) -> FileStat | None:
        """Facts about the path, or None where nothing is there."""
        ...

    async def list_dir(self, path: str) -> list[str]:
        """Names in the directory, sorted; directories end with ``/``.

        Raises:
            FileError: missing, or not a directory.
        """
        ...

    async def upload(self, source: str | os.PathLike[str], path: str) -> None:
        """Copy a file or a folder of this machine to ``path``, whatever its size.

        A folder's content is merged into ``path``. Modes and symbolic links are kept (a link is
        copied, never followed), owners are the sandbox's user; sockets and devices are left out.

        Raises:
            FileError: ``source`` cannot be read, or ``path`` not be written.
        """
        ...

    async def download(self, path: str, target: str | os.PathLike[str]) -> None:
        """Copy a file or a folder to this machine, whatever its size.

        ``target`` must not exist yet. Nothing is ever written outside it: links are made as links,
        after all files.

        Raises:
            FileError: ``path`` cannot be read, or ``target`` exists or cannot be written.
        """
        ...

    async def search(
        self,
        pattern: str,
        path: str = ".",
        *,
        glob: str = "",
        ignore_case: bool = False,
        limit: int = 1000,
        timeout: float = 60.0,
    ) -> Matches:
        """Find lines by a regular expression: ripgrep where the image has it, else ``grep -E``.

        Binary files are left out; ripgrep leaves out what git ignores, too.

        Args:
            glob: only files whose name matches, like ``*.py``.
            limit: lines to return at most.

        Raises:
            FileError: ``path`` does not exist.
            ValueError: the pattern is not a regular expression, or not one line of text.
            SandboxError: the search took longer than ``timeout`` seconds.
        """
        ...

    async def snapshot(self) -> Mapping[str, str]:
        """Keep the file system as it is now; what ``SandboxProvider.restore`` needs, JSON-safe.

        It holds no process and no memory, and not a workspace that is mounted: that folder is
        the user's own, and its states are the checkpoints' business. It outlives the sandbox and
        this process, until ``SandboxProvider.forget``.

        Raises:
            SandboxError: this backend cannot (``capabilities.snapshot``).
        """
        ...

    async def fork(self, session_id: str) -> Sandbox:
        """Return another sandbox with the same files and its own copy of the workspace.

        Nothing that happens in one of the two is seen in the other; ``merge`` brings the
        workspace's changes home. Processes and shell state are not taken along.

        Raises:
            SandboxError: this backend cannot (``capabilities.fork``).
        """
        ...

    async def changes(self) -> bytes:
        """What was changed in the workspace since it was copied, as a patch that git takes.

        For forks, and sandboxes that work on a copy.

        Raises:
            UsageError: the workspace is no copy: its changes are in place.
        """
        ...

    async def merge(self, fork: Sandbox) -> list[str]:
        """Bring a fork's workspace changes into this sandbox; the changed paths.

        Raises:
            WorkspaceError: a file was changed here too; nothing was written.
        """
        ...

    async def detach(self) -> None:
        """Let go of it and leave it as it is, for ``SandboxProvider.reopen``.

        Background jobs go on. Where it is ours, its lease ends it if nobody comes back. A backend
        that cannot be reopened closes it.
        """
        ...

    async def close(self) -> None:
        """End every process and remove the sandbox. Safe to call twice."""
        ...


@runtime_checkable
class SandboxProvider(Protocol):
    """A description from which sandboxes are opened; holds no state and no connection."""

    @property
    def host_workspace(self) -> Path | None:
        """As ``Sandbox.host_workspace``, before one is opened."""
        ...

    async def open(self, session_id: str, *, progress: Progress | None = None) -> Sandbox:
        """Make and start a sandbox for this session.

        Raises:
            EngineUnavailable, ImageError, WorkspaceError: as their names say.
        """
        ...

    async def reopen(self, ref: Mapping[str, str], *, progress: Progress | None = None) -> Sandbox:
        """Attach to a sandbox that an earlier process made, with its files and jobs.

        Raises:
            SandboxGone: it no longer exists (the caller opens a new one and says so).
        """
        ...

    async def restore(
        self, snapshot: Mapping[str, str], session_id: str, *, progress: Progress | None = None
    ) -> Sandbox:
        """Open a sandbox whose files are those of the snapshot.

        Raises:
            SandboxGone: the snapshot no longer exists.
            SandboxError: it is another backend's.
        """
        ...

    async def forget(self, snapshot: Mapping[str, str]) -> None:
        """Remove a snapshot; fine when it is gone already."""
        ...
