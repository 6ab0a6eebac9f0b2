"""``bash``: one persistent shell per session."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from typing import Any

from anyio import to_thread

from agentkit.errors import FileError, ToolError
from agentkit.sandbox import ExecResult, Output, OutputCallback, Sandbox
from agentkit.tool import ToolContext, ToolResult, tool
from agentkit.tools._aftermath import of_command
from agentkit.tools._interactive import interact
from agentkit.tools._schema import compact
from agentkit.tools._text import OUTPUT_LIMIT, Clip, counted, is_binary, readable

DEFAULT_TIMEOUT = 300
LONGEST_TIMEOUT = 3_600

KEPT_BYTES = 8 << 20
"""Kept of one output in our memory, and so at most in the full copy: half start, half end."""

BINARY_LIMIT = 1_000
"""Characters shown of an output that is no text."""

_COPY_FOLDERS = ("/tmp/agentkit", "/var/tmp/agentkit", "/dev/shm/agentkit")

_WANTED_TERMINAL = re.compile(
    rb"not a (?:tty|terminal)|is not a TTY|[Ii]nappropriate ioctl for device"
    rb"|no tty present|TERM environment variable not set|Error opening terminal"
    rb"|a terminal is required|failed tty get|/dev/tty|No value for \$TERM|unknown terminal type"
    rb"|terminal prompts disabled"
)
# What programs say when their question finds no answer; a question is left at the output's end.
_WANTED_INPUT = re.compile(
    rb"EOF when reading a line|EOFError|unexpected end of file from user"
    rb"|could not read (?:Username|Password)"
    rb"|(?:[Pp]assword|[Pp]assphrase)[^\n]*: ?\n?\Z"
    rb"|[\[(][Yy](?:es)?/[Nn]o?(?:/[^\n\])]*)?[\])]+[?: ]*(?:Abort\.?)?\s*\Z"
)
_ENDLESS = re.compile(
    r"(?:^|[;&|(]\s*)\s*(?:sudo\s+)?"
    r"(vim?|nano|emacs|h?top|watch|screen|tmux|tail\s+-\w*[fF]|journalctl\s+-f)\b",
    re.MULTILINE,
)


def _script(arguments: Mapping[str, Any]) -> str | None:
    """The command; keys for a terminal are none."""
    return None if arguments.get("interactive") else str(arguments.get("command", ""))


@compact
@tool(aftermath=of_command, script=_script)
async def bash(
    context: ToolContext,
    command: str,
    timeout: int = DEFAULT_TIMEOUT,
    interactive: bool = False,
) -> ToolResult:
    """Run a command in a persistent shell: directory, variables, functions and jobs live on.

    There is no terminal and no input unless interactive: use flags like -y, no editors or pagers.
    Run servers and long jobs with & and their output in a file. Output over 16,000 characters
    loses its middle; the full copy is in a file that the result names.

    Args:
        timeout: seconds until the command is killed, at most 3600.
        interactive: run it at a terminal and see the screen; while it runs, command is keys to
            type, like :wq<Enter>, <C-c>, <Up>; <close> kills it.
    """
    if interactive:
        _check(command or "-", timeout)
        shell = await (await context.sandbox()).shell()
        return await interact(context, command, shell.cwd)
    return await run(context, command, timeout, keep_end=True)


@compact
@tool(name="bash", aftermath=of_command, script=_script)
async def minimal_bash(context: ToolContext, command: str) -> ToolResult:
    """Run commands in a persistent bash shell.

    There may be no internet except package mirrors (apt, pip). Output is cut after 16,000
    characters. A command is killed after 300 seconds: run servers with &.
    """
    return await run(context, command, DEFAULT_TIMEOUT, keep_end=False)


async def run(
    context: ToolContext, command: str, timeout: int, *, keep_end: bool = True
) -> ToolResult:
    """Run the command and put its end into words.

    Args:
        keep_end: where output is too long, show its start and end; else only the start, as the
            vendor's harness does.
    """
    _check(command, timeout)
    sandbox = await context.sandbox()
    shell = await sandbox.shell()
    limit = _limit(timeout, context.budget.seconds_left)
    result = await shell.run(
        command, timeout=limit, keep=KEPT_BYTES, on_output=_decoded(context.emit_output)
    )
    body, copy = await _body(context, sandbox, result.output, keep_end=keep_end)
    told = [f"[{notice}]" for notice in sandbox.notices()]
    notices = [*_endings(result, limit), *_hints(command, result), *told]
    return ToolResult(
        "\n".join([body.rstrip("\n") or "(no output)", *notices]),
        ok=result.ended == "exit",
        display=_display(result),
        data={**_facts(result), **({"full_output": copy} if copy else {})},
    )


def _check(command: str, timeout: int) -> None:
    if not command.strip():
        raise ToolError("command is empty")
    if "\0" in command:
        raise ToolError("command holds a NUL character, which no shell can take")
    if timeout < 1:
        raise ToolError(f"timeout must be 1 to {LONGEST_TIMEOUT} seconds, not {timeout}")


def _limit(timeout: int, seconds_left: float | None) -> float:
    """The command's own limit: never past the end of the run."""
    limit = float(min(timeout, LONGEST_TIMEOUT))
    return limit if seconds_left is None else max(1.0, min(limit, seconds_left))


def _decoded(emit: Callable[[str], None]) -> OutputCallback:
    """Output for whoever watches; a character may arrive in two pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def on_output(piece: bytes) -> None:
        if text := decoder.decode(piece):
            emit(text)

    return on_output


async def _body(
    context: ToolContext, sandbox: Sandbox, output: Output, *, keep_end: bool
) -> tuple[str, str]:
    """The output as the model reads it; what is left out is kept in a file and counted.

    Returns:
        The text, and the name of the full copy in the session's store, "" where all is shown.
    """
    binary = is_binary(output.head)
    limit = BINARY_LIMIT if binary else OUTPUT_LIMIT
    if output.total <= 64 << 10:
        clip = Clip.of(readable(output.data), limit, keep_end=keep_end)
    else:  # megabytes take a noticeable time, and other sessions share this event loop
        clip = await to_thread.run_sync(lambda: _clip(output, limit, keep_end))
    if not clip.omitted:
        return clip.head, ""
    data = _whole(output)
    where = await _keep_copy(context, sandbox, output, data)
    kind = "binary output; " if binary else ""
    size = f"{clip.omitted + output.omitted:,} characters"
    if not output.omitted:
        size += f" ({counted(clip.omitted_lines, 'line')})"
    text = clip.join(f"[… {kind}{size} left out here; {where} …]")
    return text, await context.keep(data)


def _clip(output: Output, limit: int, keep_end: bool) -> Clip:
    if not output.omitted:
        return Clip.of(readable(output.data), limit, keep_end=keep_end)
    # Head and tail do not touch: cut each by itself, at the side of the gap.
    size = limit // 2 if keep_end else limit
    head, tail = readable(output.head), readable(output.tail)
    stop = head.rfind("\n", 0, size) + 1 or size
    start = max(len(tail) - size, 0) if keep_end else len(tail)
    omitted = len(head) - stop + start
    return Clip(head[:stop], tail[start:], omitted)


def _whole(output: Output) -> bytes:
    """All of the output, or its first and last bytes with the count of those between."""
    gap = f"\n[… {output.omitted:,} bytes were not kept …]\n".encode() if output.omitted else b""
    return output.head + gap + output.tail


async def _keep_copy(context: ToolContext, sandbox: Sandbox, output: Output, data: bytes) -> str:
    """Write the full copy to the first folder that takes it; say where, or that none did."""
    name = re.sub(r"[^\w.-]", "_", f"{context.session_id}/{context.call_id}"[:120])
    remembered: str | None = context.state.get("output_folder")
    for folder in (remembered,) if remembered else _COPY_FOLDERS:
        path = f"{folder}/{name}.txt"
        try:
            await sandbox.write_file(path, data)
        except FileError:
            continue
        context.state["output_folder"] = folder
        most = f"its first and last {len(output.head) >> 20} MB are"
        what = most if output.omitted else "all of it is"
        return f"{what} in {path}: read parts with sed -n or grep"
    return "no folder could be written to keep it: print less, or filter with grep, head or tail"


def _endings(result: ExecResult, limit: float) -> list[str]:
    """How the command ended, where that is not simply exit code 0, and what became of the shell."""
    notices: list[str] = []
    match result.ended:
        case "timeout" | "idle":
            notices.append(
                f"[timed out after {limit:g} seconds and was killed: give a larger timeout, or run "
                "it with & and its output in a file]"
            )
        case "flood":
            notices.append(
                f"[killed after printing {result.output.total >> 20} MB: print less, or redirect "
                "the output to a file]"
            )
        case "disk":
            notices.append("[killed: it filled the sandbox's disk]")
        case "oom":
            notices.append("[killed: out of memory]")
        case "lost":
            notices.append("[the sandbox died while this ran; the command's effects are unknown]")
        case "exit":
            if result.exit_code:
                notices.append(f"[exit code: {result.exit_code}]")
    if result.shell_restarted:
        notices.append(
            f"[the shell was restarted in {result.cwd}: exported variables are as they were before "
            "this command; functions, other variables and jobs may be gone]"
        )
    return notices


def _hints(command: str, result: ExecResult) -> list[str]:
    """What to do instead, where a command wanted somebody at a terminal."""
    if result.ok:
        return []
    output = result.output
    seen = output.tail[-4_096:] if len(output.tail) >= 4_096 else output.head[-4_096:] + output.tail
    if _WANTED_TERMINAL.search(seen):
        return [
            "[it wanted a terminal, and there is none: non-interactive options, or interactive]"
        ]
    if _WANTED_INPUT.search(seen):
        return ["[it wanted input, and there is none: pass it with a pipe, <<EOF or options]"]
    endless = _ENDLESS.search(command)
    if endless and result.ended in ("timeout", "idle"):
        return [f"[{endless[1]} does not end by itself: use a command that does]"]
    return []


def _display(result: ExecResult) -> str:
    end = f"exit {result.exit_code}" if result.ended == "exit" else result.ended
    return f"{end}, {counted(result.output.total, 'byte')}, {result.duration:.1f} s"


def _facts(result: ExecResult) -> dict[str, Any]:
    return {
        "exit_code": result.exit_code,
        "ended": result.ended,
        "bytes": result.output.total,
        "cwd": result.cwd,
        "duration": round(result.duration, 3),
    }
