"""``bash`` with ``interactive``: a program at a terminal, its keys and its screen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

import anyio

from agentkit.errors import SandboxError, SandboxGone
from agentkit.sandbox import Pty
from agentkit.tool import ToolContext, ToolResult
from agentkit.tools._screen import Screen, keys
from agentkit.tools._text import OUTPUT_LIMIT, Clip, counted

ROWS, COLUMNS = 40, 120
QUIET = 0.4
"""Seconds without output after which the screen is taken to be drawn."""
LONGEST_WAIT = 10.0
"""Seconds after which it is shown though the program draws on."""
CLOSE = "<close>"


@dataclass(slots=True)
class _Terminal:
    pty: Pty
    screen: Screen
    command: str


async def interact(context: ToolContext, command: str, cwd: str) -> ToolResult:
    """Start the command at a terminal, or type it into the one that is open; show the screen."""
    terminal = cast("_Terminal | None", context.state.get("terminal"))
    if terminal is None:
        if command.strip() in ("", CLOSE):
            return ToolResult("[no program runs at a terminal; give a command to start one]")
        return await _begin(context, command, cwd)
    if command.strip() == CLOSE:
        return await _end(context, terminal, "[closed]")
    try:
        if command:
            await terminal.pty.send(keys(command))
        return await _show(context, terminal)
    except SandboxGone:
        context.state.pop("terminal", None)
        raise
    except SandboxError as error:
        return await _end(context, terminal, f"[{error.what}]")


async def _begin(context: ToolContext, command: str, cwd: str) -> ToolResult:
    sandbox = await context.sandbox()
    if not sandbox.capabilities.pty:
        return ToolResult("[this sandbox has no terminals: use non-interactive options]", ok=False)
    pty = await sandbox.open_pty(command, rows=ROWS, columns=COLUMNS, cwd=cwd)
    terminal = _Terminal(pty, Screen(ROWS, COLUMNS), command)
    context.state["terminal"] = terminal
    return await _show(context, terminal)


async def _show(context: ToolContext, terminal: _Terminal) -> ToolResult:
    started = time.monotonic()
    heard = False
    while (left := started + LONGEST_WAIT - time.monotonic()) > 0:
        # A program may need a moment to start; once it draws, a short silence is enough.
        piece = await terminal.pty.read(timeout=min(left, QUIET if heard else 3 * QUIET))
        if not piece:
            break
        heard = True
        if answer := terminal.screen.feed(piece):
            await terminal.pty.send(answer)
    code = terminal.pty.exit_code
    if code is not None:
        return await _end(context, terminal, f"[the program ended, exit code {code}]")
    line, column = terminal.screen.cursor()
    notice = (
        f"[{terminal.command.split()[0]} runs; cursor at line {line}, column {column}. Send keys"
        f" with interactive, or {CLOSE}]"
    )
    return ToolResult(f"{_seen(terminal)}\n{notice}", display="screen")


async def _end(context: ToolContext, terminal: _Terminal, notice: str) -> ToolResult:
    context.state.pop("terminal", None)
    with anyio.CancelScope(shield=True):
        await terminal.pty.close()
    return ToolResult(f"{_seen(terminal)}\n{notice}".lstrip("\n"), display="terminal ended")


def _seen(terminal: _Terminal) -> str:
    """What scrolled by since the last look, and the screen."""
    lines, gone = terminal.screen.scrolled()
    clip = Clip.of(lines, OUTPUT_LIMIT - len(screen := terminal.screen.text()))
    by = clip.join(f"[… {counted(clip.omitted_lines, 'line')} left out here …]")
    by += "\n" if clip.omitted else ""
    before = f"[… {counted(gone, 'line')} scrolled by before these …]\n" if gone else ""
    return f"{before}{by}{screen}" if lines else screen
