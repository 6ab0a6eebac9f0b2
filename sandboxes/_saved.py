"""What of a shell outlives this process: its state, kept inside the sandbox when it changes."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from agentkit.errors import FileError
from agentkit.sandbox import Remains
from agentkit.sandboxes._control import Control
from agentkit.sandboxes._files import Files, escaped
from agentkit.sandboxes._requests import State
from agentkit.sandboxes._scripts import quote

__all__ = ["StateKeeper", "end_lost_commands"]

_END = b"end"
"""Last in the record: one that was cut off in the middle counts for nothing."""


class StateKeeper:
    """Keeps the states of a sandbox's shells in its folder of records.

    Where nothing is writable inside, nothing is kept: a reopened shell then starts in the
    workspace, and its first result says that it is a new one.
    """

    def __init__(self, control: Control, files: Files, sandbox_id: str, *, reopened: bool) -> None:
        self._control, self._files, self._sandbox_id = control, files, sandbox_id
        self._reopened = reopened
        self.epoch = f"-{secrets.token_hex(2)}" if reopened else ""
        """Keeps the marks of a reopened shell's commands apart from those before."""

    async def save(self, name: str, state: State) -> None:
        path = await self._path(name)
        if not path:
            return
        data = b"\0".join((state.cwd, state.exports, state.definitions, _END))
        # By builtins alone: where no process can be started any more, the attempt would end dash.
        # A state that is not true any more would be worse than none.
        word = quote(path)
        write = f"{{ printf '%b' {quote(escaped(data))} >{word}; }} 2>/dev/null"
        await self._control.request(f"{write} || {{ : >{word}; }} 2>/dev/null")

    async def load(self, name: str) -> State | None:
        """The state of a shell of an earlier process; None where this process is the first."""
        if not self._reopened:
            return None
        path = await self._path(name)
        with suppress(FileError, ValueError):
            saved = await self._files.read(path, 64 << 20) if path else b""
            cwd, exports, definitions, end = saved.split(b"\0")
            if end == _END:
                return State(cwd, exports, definitions)
        return State(self._files.absolute(".").encode("utf-8", "surrogateescape"))

    async def _path(self, name: str) -> str:
        folder = await self._control.folder(self._sandbox_id)
        return f"{folder}/shell.{name}" if folder else ""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    session: int
    shell: str
    """Which shell or job started it, by the environment that it was born with."""
    command: str
    """Which command, likewise."""


# Every process that carries a mark of this sandbox: number, parent, session, both marks.
_TABLE = r"""
for d in /proc/[0-9]*; do
    p=${d#/proc/}
    _stat "$p" || continue
    set -- $l
    case $1 in Z|X) continue ;; esac
    x=- y=-
    while IFS= read -r e || [ -n "$e" ]; do
        case $e in *AK_CMD={id}.*) y=${e##*AK_CMD=}; y=${y%%:*} ;; esac
        case $e in *AK_SHELL={id}.*) x=${e##*AK_SHELL={id}.}; x=${x%%.*} ;; esac
    done 2>/dev/null <"/proc/$p/environ"
    [ "$x$y" = -- ] || printf '%s %s %s %s %s\n' "$p" "$2" "$4" "$x" "$y"
done
"""


async def end_lost_commands(control: Control, sandbox_id: str) -> Remains:
    """Kill what a crashed process was waiting for; background servers and jobs live on.

    A shell whose input has ended ends by itself, unless a command is under way in it. That command
    is the latest one that the shell started; what earlier ones left behind is theirs.
    """
    _, reply = await control.request(_TABLE.replace("{id}", sandbox_id))
    processes = [
        _Process(int(pid), int(parent), int(session), shell, command)
        for pid, parent, session, shell, command in (
            line.decode("ascii", "replace").split(" ") for line in reply.splitlines()
        )
    ]
    supervisors = [each for each in processes if _supervises(each)]
    victims = {pid for each in supervisors for pid in _lost(each, processes)}
    if victims:
        numbers = " ".join(map(str, sorted(victims)))
        await control.request(f"kill -STOP {numbers} 2>/dev/null; kill -KILL {numbers} 2>/dev/null")
    told = [each for each in processes if each.command != "-" and each.shell[0] not in "-@"]
    shells = {each.shell for each in supervisors if each.shell[0] not in "-@"}
    return Remains(
        killed=frozenset(shells),
        running=Counter(each.shell for each in told if each.pid not in victims),
    )


def _supervises(process: _Process) -> bool:
    """Whether it leads a shell or terminal of ours, and is no server that a command set apart."""
    apart = process.command != "-" and not process.shell.startswith("@")
    return process.pid == process.session and process.shell != "-" and not apart


def _lost(supervisor: _Process, processes: list[_Process]) -> set[int]:
    name = supervisor.shell
    if name.startswith("@job"):
        return set()
    if name.startswith("@"):
        return {each.pid for each in processes if each.shell == name}
    shells = {each.pid for each in processes if each.parent == supervisor.pid}
    mine = [each for each in processes if each.shell == name and each.command != "-"]
    latest = max((_number(each) for each in mine), default=-1)
    lost = {supervisor.pid, *shells}
    lost |= {each.pid for each in mine if _number(each) == latest}
    return lost | {each.pid for each in processes if each.parent in shells and each.command == "-"}


def _number(process: _Process) -> int:
    number = process.command.rpartition(".")[2]
    return int(number) if number.isdigit() else -1
