"""A Harbor environment as a sandbox: stateless commands there, a persistent shell here.

Harbor runs one ``bash -c`` per call and keeps nothing. Each command of a shell therefore begins by
reading the state that the last one left (directory, exported variables, functions) and writes its
own at its end. Output goes to a file first, so that a server in the background, which holds the
file, holds up nobody; and so that a flood stays in the container.
"""

from __future__ import annotations

import os
import posixpath
import shlex
import tempfile
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from agentkit.errors import FileError, SandboxError
from agentkit.sandbox import (
    DEFAULT_KEEP,
    FLOOD_LIMIT,
    Capabilities,
    ExecResult,
    FileStat,
    Job,
    JobInfo,
    Matches,
    Output,
    OutputCallback,
    Progress,
    Pty,
    Remains,
)
from agentkit.sandboxes import _search
from agentkit.sandboxes._forking import Forking

_SEARCH_KEEP = 64 << 20
_GRACE = 15
"""Seconds after which Harbor's own limit ends a call whose command did not end at ours."""
_INLINE = 60_000
"""Bytes of a command beyond which it goes as a file: an argument is limited to 128 KB."""

# $1 state $2 output $3 limit in seconds $4 command, or a file that holds it $5 "file" or "text".
# The inner script takes all of it as arguments: variables would come back with the state.
_RUNNER = r"""
run='
trap '\''__ak=$?
{ export -p; declare -f; printf "cd -- %q\n" "$PWD"; } >"$0" 2>/dev/null
exit $__ak'\'' EXIT
[ ! -f "$0" ] || . "$0" 2>/dev/null
if [ "$2" = file ]; then . "$1"; else eval "$1"; fi
'
if command -v timeout >/dev/null 2>&1; then
    timeout -k 2 "$3" bash -c "$run" "$1" "$4" "$5" >"$2" 2>&1 </dev/null
else
    bash -c "$run" "$1" "$4" "$5" >"$2" 2>&1 </dev/null
fi
"""


class HarborSandbox(Forking):
    """The environment of one trial; Harbor owns it, so closing it does nothing.

    Args:
        environment: Harbor's ``BaseEnvironment``.
        workdir: where commands start.
    """

    def __init__(self, environment: Any, workdir: str) -> None:
        self._environment = environment
        self._workdir = workdir
        self._folder = f"/tmp/.agentkit-{uuid4().hex[:12]}"
        self._shells: dict[str, HarborShell] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(isolated=True)

    @property
    def workdir(self) -> str:
        return self._workdir

    @property
    def host_workspace(self) -> Path | None:
        return None

    @property
    def ref(self) -> Mapping[str, str]:
        return {}

    @property
    def remains(self) -> Remains | None:
        return None

    @property
    def description(self) -> str:
        return f"Harbor's environment · {self._workdir}"

    def notices(self) -> list[str]:
        return []

    async def shell(self, name: str = "main") -> HarborShell:
        if name not in self._shells:
            self._shells[name] = HarborShell(self, name)
        return self._shells[name]

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
        del idle_timeout, flood_limit, on_output  # nothing is seen before the end
        text = f"cd -- {shlex.quote(cwd or self._workdir)} && {{ {command}\n}}"
        if stdin:
            path = f"{self._folder}/{uuid4().hex[:8]}.in"
            await self.write_file(path, stdin)
            text = f"{{ {text}\n}} <{shlex.quote(path)}"
        errors_path = f"{self._folder}/{uuid4().hex[:8]}.err"  # its own: searches overlap
        if split:
            text = f"{{ {text}\n}} 2>{errors_path}"
        result = await self.run(uuid4().hex[:8], text, env=env, timeout=timeout, keep=keep)
        if not split:
            return result
        errors = await self.read_file(errors_path)
        return ExecResult(
            result.exit_code,
            result.output,
            stderr=Output(head=errors[:keep], total=len(errors)),
            ended=result.ended,
            duration=result.duration,
        )

    async def run(
        self,
        name: str,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        timeout: float | None = 300.0,
        keep: int = DEFAULT_KEEP,
    ) -> ExecResult:
        """Run a command with the state of that name.

        Raises:
            ValueError: the command holds a NUL character.
            SandboxError: the environment did not run it.
        """
        if "\0" in command:
            raise ValueError("a command cannot hold a NUL character")
        kind, text = "text", command
        if len(command.encode()) > _INLINE:
            kind, text = "file", f"{self._folder}/{uuid4().hex[:8]}.sh"
            await self.write_file(text, command.encode())
        limit = max(1, round(timeout if timeout is not None else 86_400))
        state, output = f"{self._folder}/{name}.state", f"{self._folder}/{name}.out"
        arguments = (state, output, str(limit), text, kind)
        words = " ".join(shlex.quote(each) for each in arguments)
        line = f"mkdir -p {self._folder}; bash -c {shlex.quote(_RUNNER)} agentkit {words}"
        started = time.monotonic()
        found = await self._ask(line, limit + _GRACE, env)
        shown = await self._shown(output, keep)
        late = found.return_code in (124, 137) and time.monotonic() - started >= limit
        return ExecResult(
            exit_code=124 if late else found.return_code,
            output=shown,
            ended="timeout" if late else "exit",
            shell_restarted=late,
            duration=time.monotonic() - started,
        )

    async def _shown(self, path: str, keep: int) -> Output:
        """Start and end of the file, and its size."""
        half = max(1, keep // 2)
        stat = await self.stat(path)
        if stat is None or stat.size <= keep:
            data = await self.read_file(path) if stat is not None else b""
            return Output(head=data, total=len(data))
        parts: list[bytes] = []
        for program in ("head", "tail"):
            piece = f"{path}.{program}"
            await self._ask(f"{program} -c {half} {path} >{piece}", 60)
            parts.append(await self.read_file(piece))
        return Output(head=parts[0], tail=parts[1], total=stat.size)

    async def _ask(self, command: str, timeout: float, env: Mapping[str, str] | None = None) -> Any:
        try:
            return await self._environment.exec(
                command,
                cwd=self._workdir,
                env=dict(env) if env else None,
                timeout_sec=round(timeout),
            )
        except (RuntimeError, OSError, TimeoutError) as error:
            raise SandboxError(
                f"Harbor's environment did not run the command: {error}", tried=command[:200]
            ) from error

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        stat = await self.stat(path)
        if stat is None or stat.kind != "file":
            raise FileError(path, "missing", f"{path} is no file")
        if stat.size > max_bytes:
            words = f"{path} has {stat.size:,} bytes, more than {max_bytes:,}"
            raise FileError(path, "too-large", words)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "file"
            await _moved(self._environment.download_file(path, target), path)
            return await anyio.Path(target).read_bytes()

    async def write_file(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        draft = f"{path}.agentkit"
        quoted, target = shlex.quote(draft), shlex.quote(path)
        await self._ask(f"mkdir -p $(dirname {target})", 60)
        with tempfile.TemporaryDirectory() as folder:
            source = anyio.Path(folder) / "file"
            await source.write_bytes(data)
            await _moved(self._environment.upload_file(str(source), draft), path)
        keep = f"chmod --reference={target} {quoted} 2>/dev/null"
        change = f"chmod {mode:o} {quoted}" if mode is not None else f"[ ! -e {target} ] || {keep}"
        done = await self._ask(f"{{ {change}; }}; [ ! -d {target} ] && mv -f {quoted} {target}", 60)
        if done.return_code:
            words = (done.stderr or done.stdout or "a folder is there").strip()
            raise FileError(path, "denied", f"{path} cannot be written: {words}")

    async def stat(self, path: str) -> FileStat | None:
        found = await self._ask(f"stat -L -c '%F|%s|%a|%Y' -- {shlex.quote(path)}", 60)
        if found.return_code:
            return None
        kind, size, mode, changed = (found.stdout or "").strip().split("|")
        name = "directory" if kind == "directory" else "file" if "file" in kind else "other"
        return FileStat(path, name, int(size), int(mode, 8), float(changed))

    async def list_dir(self, path: str) -> list[str]:
        quoted = shlex.quote(path)
        found = await self._ask(f"cd -- {quoted} && ls -1Ap", 60)
        if found.return_code:
            raise FileError(path, "other", f"{path} is no directory")
        return sorted(name for name in (found.stdout or "").splitlines() if name)

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        piece = f"{self._folder}/{uuid4().hex[:8]}.part"
        quoted = shlex.quote(path)
        cut = f"tail -c +{offset + 1} -- {quoted} | head -c {size} >{piece}"
        if (
            await self._ask(f"mkdir -p {self._folder}; test -f {quoted} && {cut}", 600)
        ).return_code:
            raise FileError(path, "missing", f"{path} is no file that can be read")
        return await self.read_file(piece, max_bytes=size)

    async def upload(self, source: str | os.PathLike[str], path: str) -> None:
        folder = await anyio.Path(source).is_dir()
        send = self._environment.upload_dir if folder else self._environment.upload_file
        await _moved(send(Path(source), path), path)

    async def download(self, path: str, target: str | os.PathLike[str]) -> None:
        folder = (stat := await self.stat(path)) is not None and stat.kind == "directory"
        fetch = self._environment.download_dir if folder else self._environment.download_file
        await _moved(fetch(path, Path(target)), path)

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
        full = posixpath.normpath(posixpath.join(self._workdir, path))
        command = _search.script(pattern, full, glob=glob, ignore_case=ignore_case, limit=limit)
        result = await self.exec(command, split=True, keep=_SEARCH_KEEP, timeout=timeout)
        return _search.parse(result, path, limit)

    async def start_job(self, command: str, **options: Any) -> Job:
        raise _no("jobs of its own")

    async def job(self, name: str) -> Job:
        raise _no("jobs of its own")

    async def jobs(self) -> list[JobInfo]:
        return []

    async def open_pty(self, command: str = "", **options: Any) -> Pty:
        raise _no("terminal")

    async def detach(self) -> None:
        """Harbor keeps its environment anyhow."""

    async def close(self) -> None:
        """Harbor removes its environment itself."""


def _no(what: str) -> SandboxError:
    return SandboxError(f"Harbor's environment has no {what}", hint="Ask capabilities first")


async def _moved(transfer: Awaitable[object], path: str) -> None:
    try:
        await transfer
    except (RuntimeError, OSError) as error:
        raise FileError(path, "denied", f"{path} cannot be copied: {error}") from error


class HarborShell:
    """One persistent shell, made of single commands and the state between them."""

    def __init__(self, sandbox: HarborSandbox, name: str) -> None:
        self._sandbox = sandbox
        self._name = name
        self._turn = anyio.Lock()

    @property
    def name(self) -> str:
        return self._name

    @property
    def cwd(self) -> str:
        return self._sandbox.workdir

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
        del idle_timeout, flood_limit
        async with self._turn:
            result = await self._sandbox.run(self._name, command, timeout=timeout, keep=keep)
        if on_output is not None and result.output.total:
            on_output(result.output.data)
        return result

    async def close(self) -> None:
        """Nothing lives between its commands."""


class HarborProvider:
    """Hands the one environment to a session."""

    def __init__(self, environment: Any, workdir: str) -> None:
        self._sandbox = HarborSandbox(environment, workdir)
        self.workspace = ""

    @property
    def host_workspace(self) -> Path | None:
        return None

    async def open(self, session_id: str, *, progress: Progress | None = None) -> HarborSandbox:
        return self._sandbox

    async def reopen(
        self, ref: Mapping[str, str], *, progress: Progress | None = None
    ) -> HarborSandbox:
        return self._sandbox
