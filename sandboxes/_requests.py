"""The texts that the host sends to C, the shell that runs commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentkit.sandboxes._scripts import quote

__all__ = ["DIALECTS", "Dialect", "State", "apart_body", "parse_report", "shell_body", "with_input"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the shells that C can be.

    C keeps its way out on two high descriptors and its own 1 and 2 on /dev/null, so that
    `exec >file`, `set -x` and traps of the user's cannot reach the protocol.
    """

    name: str
    out: int
    err: int
    dump: str
    """Prints the state: exported variables, NUL, functions and aliases."""


DIALECTS = {
    # dash knows one-digit descriptors only, prints no functions and no reusable aliases.
    "sh": Dialect("sh", 8, 9, r"\command export -p"),
    "bash": Dialect(
        "bash",
        253,
        254,
        r"\command export -p; \command printf '\0'; \command declare -f; \command alias -p",
    ),
}

_NAME = re.compile(rb"^(?:declare -\S*x\S* |export )([A-Za-z_]\w*)", re.MULTILINE)

_MARK = re.compile(rb"^(?:declare -\S+|export) AK_CMD=.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class State:
    """What is kept of a shell that dies: all of it but plain variables, options and jobs."""

    cwd: bytes = b""
    exports: bytes = b""
    definitions: bytes = b""
    """Functions and aliases."""

    def facts(self) -> tuple[bytes, ...]:
        """The state without the mark that every command changes."""
        return (self.cwd, _MARK.sub(b"", self.exports), self.definitions)

    def names(self) -> frozenset[bytes]:
        """Exported names (a line inside a value may look like one; then it does in every state)."""
        return frozenset(_NAME.findall(self.exports))

    def without(self, attempt: int) -> State:
        """Less and less of it, should the state itself be what kills a new shell."""
        if attempt == 0:
            return self
        kept = replace(self, definitions=b"")
        return kept if attempt == 1 else State(cwd=self.cwd)


@dataclass(frozen=True, slots=True)
class Report:
    """What C says at a command's end."""

    code: int
    pid: int
    job: int
    """The process that C put into the background last; 0 if none."""
    state: State


def parse_report(payload: bytes) -> Report:
    head, cwd, exports, definitions, *_ = (*payload.split(b"\0"), b"", b"")
    code, pid, *job = head.split()
    state = State(cwd.removesuffix(b"\n"), exports, definitions)
    return Report(int(code), int(pid), int(job[0]) if job else 0, state)


def _report(dialect: Dialect) -> str:
    """Shell code that reports an end: the status is $1, the record's nonce $2.

    Status, directory and state go to C's own error stream, which no command holds, so that a
    background job's output cannot run into them; output gets one record, in one write. Each write
    costs the way to us more than it costs the shell, so there are few: `pwd` prints by itself only
    where PWD is not the directory (the user may have set it).
    """
    head = "\\command printf '\\036%s:%s %s\\0"
    facts = '"$2" "$1" "$$ ${!-}"'
    return (
        f'{{ if \\command [ . -ef "${{PWD-}}" ]; then {head}%s\\n\\0\' {facts} "$PWD";'
        f" else {head}' {facts}; \\command pwd; \\command printf '\\0'; fi; {dialect.dump};"
        " \\command printf '\\0:%s\\036\\n' \"$2\";"
        f' \\command printf \'\\036%s::%s\\036\\n\' "$2" "$2" >&{dialect.out};'
        f" }} >&{dialect.err} 2>/dev/null; \\shift 2"
    )


def epilogue(dialect: Dialect, nonce: str, *, stateful: bool) -> str:
    """Have the end reported on both streams.

    Not by a function, which the user could unset. A function named `command` would be in the way:
    it does not outlive the command that makes it. bash reads its script from a pipe byte by byte
    (0.5 us each), so for it the code lies in a read-only variable; see ``start_text``.
    """
    if stateful:
        code = '\\command eval "$_ak"' if dialect.name == "bash" else _report(dialect)
        return f'\\set -- "$?" {nonce} "$@"; \\unset -f command; {code}\n'
    facts = "\\command printf '\\036%s:%s %s\\0:%s\\036\\n'"
    plain = f"\\command printf '\\036%s::%s\\036\\n' {nonce} {nonce} >&{dialect.out}"
    return (
        f'{{ {facts} {nonce} "$?" "$$ ${{!-}}" {nonce} >&{dialect.err}; {plain}; }} 2>/dev/null\n'
    )


def start_text(dialect: Dialect, state: State, removed: frozenset[bytes], nonce: str) -> bytes:
    """Set C up: descriptors, then the state of the shell before it."""
    lines = [f"exec {dialect.out}>&1 {dialect.err}>&2 >/dev/null 2>&1"]
    if dialect.name == "bash":
        lines.append(f"readonly _ak={quote(_report(dialect))}")
    lines += [f"unset {name.decode()}" for name in sorted(removed)]
    for part in (state.exports, state.definitions):
        if part.strip():
            lines.append("\\command eval " + quote(part.decode("utf-8", "surrogateescape")))
    if state.cwd:
        lines.append("\\command cd -- " + quote(state.cwd.decode("utf-8", "surrogateescape")))
    lines.append(epilogue(dialect, nonce, stateful=True))
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _redirect(dialect: Dialect, split: bool) -> str:
    out, err = dialect.out, dialect.err
    return f">&{out} 2>&{err if split else out} {out}>&- {err}>&-"


def shell_body(dialect: Dialect, command: str, *, status: int, split: bool) -> str:
    """Run a command in C itself.

    `command eval` keeps dash alive through a syntax error; `(exit N) ||` gives the command the
    `$?` of the one before it, and is exempt from `set -e`.
    """
    # bash 5.2 dies of an evaluated text that ends in a backslash. In a script it takes that one
    # as a character of its own, which is what a second one says.
    trailing = len(command) - len(command.rstrip("\\"))
    command += "\\" * (trailing % 2)
    before = f"(exit {status}) || " if status else ""
    eval_ = f"\\command eval {quote(command)}"
    return f"{before}{eval_} </dev/null {_redirect(dialect, split)}"


def apart_body(
    dialect: Dialect,
    command: str,
    *,
    cwd: str,
    env: Mapping[str, str],
    split: bool,
    stdin: str = "</dev/null",
) -> str:
    """Run a command in a child of C, apart from its state."""
    exports = "".join(f"export {name}={quote(value)} && " for name, value in env.items())
    inner = f"cd -- {quote(cwd)} && {exports}eval {quote(command)}"
    return f"( {inner} ) {stdin} {_redirect(dialect, split)}"


def with_input(dialect: Dialect, body: str, size: int, ready: str, after: str) -> str:
    """Feed ``size`` bytes that follow on C's own input to the command.

    One compound command, so that C has read all of its script before the data comes; the data is
    sent when ``ready`` is reported, as a shell may read its script in blocks.
    """
    told = f"\\command printf '\\036%s::%s\\036\\n' {ready} {ready} >&{dialect.out}"
    return f"{{ {told}; head -c {size} | {body}\n{after.rstrip()}\n}}\n"


def request_text(cookie: str, body: str, after: str) -> bytes:
    return f"\\command export AK_CMD={cookie}; {body}\n{after}".encode("utf-8", "surrogateescape")
