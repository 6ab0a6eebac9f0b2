"""The texts that the host sends to C, the shell that runs commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agentkit.sandboxes._scripts import quote

__all__ = [
    "DIALECTS",
    "Dialect",
    "Report",
    "State",
    "apart_body",
    "is_plain",
    "no_option",
    "parse_report",
    "parse_state",
    "plain_epilogue",
    "shell_body",
    "with_input",
]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the shells that C can be.

    C keeps its way out on two high descriptors and its own 1 and 2 on /dev/null, so that
    `exec >file`, `set -x` and traps of the user's cannot reach the protocol.
    """

    name: str
    out: int
    err: int
    state: tuple[str, str, str]
    """Builtins that print traps; functions and aliases; exported variables."""


DIALECTS = {
    # dash knows one-digit descriptors only, prints no functions and no reusable aliases.
    "sh": Dialect("sh", 8, 9, ("", "", "export -p")),
    "bash": Dialect("bash", 253, 254, ("trap -p", "declare -f; alias -p", "export -p")),
}

_ROOM = r'"Max file size             "???????[!\ ]'
"""A pattern for what the kernel says of a limit on files of ten million bytes or more, or of none:
values are left-aligned. A file that passes its limit ends the shell that writes it."""

_SHORT = 4096
"""Longer lines are not looked at: what their end takes does not count."""

_OWN = r"""
    \. | : | alias | bg | bind | break | builtin | caller | case | cd | command | compgen |
    complete | compopt | continue | coproc | declare | dirs | disown | do | done | echo | elif |
    else | enable | esac | eval | exec | exit | export | false | fc | fg | fi | for | function |
    getopts | hash | help | history | if | in | jobs | kill | let | local | logout | mapfile |
    popd | printf | pushd | pwd | read | readarray | readonly | return | select | set | shift |
    shopt | source | suspend | test | then | time | times | trap | true | type | typeset | ulimit
    | umask | unalias | unset | until | wait | while
"""
"""What bash (5.3 and before) does itself when it is the first word of a command."""

_NAME = re.compile(rb"^(?:declare -\S*x\S* |export )([A-Za-z_]\w*)", re.MULTILINE)

_PLAIN = re.compile(
    r"""
    (?: (?: ^ | [ ]* (?: \| | \|\| | && | ; ) [ ]* )            # each program of the line:
        (?! (?: WORDS ) (?: [ ;|&] | $ ) ) [\w./+-]+            # its name, none of the shell's own
        (?: [ ]+ (?: [\w./,:=@%+-] | '[^'\n]*' | "[^"$`\\!\n]*" )+ | [ ]+ 2>&1 )*
    )+ [ ]*
    """.replace("WORDS", _OWN),
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class State:
    """What is kept of a shell that dies: all of it but plain variables, options and jobs."""

    cwd: bytes = b""
    exports: bytes = b""
    definitions: bytes = b""
    """Functions and aliases."""
    traps: bytes = field(default=b"", compare=False)
    """Not kept, but to know of: what they do may change the rest at any time."""

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
    changed: bool
    """Whether its state comes, on the error stream."""
    pid: int
    job: int
    """The process that C put into the background last; 0 if none."""
    cwd: bytes
    """Empty where it cannot have changed."""


def parse_report(payload: bytes) -> Report:
    head, _, cwd = payload.partition(b"\0")
    code, changed, pid, *job = head.split()
    number = int(job[0]) if job else 0
    return Report(int(code), changed == b"1", int(pid), number, cwd.removesuffix(b"\n"))


def parse_state(payload: bytes, cwd: bytes) -> State:
    traps, definitions, exports = payload.split(b"\0")
    return State(cwd, exports, definitions, traps)


def is_plain(command: str) -> bool:
    """Whether a line only starts programs, which cannot change the shell that starts them.

    True says so for a bash that has no functions, aliases or traps, and no builtins but its own
    (``enable -f`` is not looked for); False says nothing.
    """
    return len(command) < _SHORT and _PLAIN.fullmatch(command) is not None


def _report(dialect: Dialect, scratch: str) -> str:
    """Shell code that reports an end: the status is $1, the record's nonce $2.

    Status and directory go to the output, behind whatever the command printed, in one write (short
    enough to stay in one piece beside what background jobs print). The state goes to C's own error
    stream, which no command holds, if it changed. `pwd` prints by itself only where PWD is not the
    directory (the user may have set it). Each builtin is redirected by itself, so that what a DEBUG
    trap prints goes nowhere.
    """
    here = 'case ${PWD-} in /*) \\command [ . -ef "$PWD" ] ;; *) \\command false ;; esac'
    head = "\\command printf '\\036%s:%s %s %s\\0"
    facts = '"$3" "$2" "$1" "$$ ${!-}"'
    tail = "\\command printf ':%s\\036\\n' \"$3\""
    out, err = f" >&{dialect.out}", f" >&{dialect.err}"
    dump = f"; \\command printf '\\0'{err}; ".join(
        "; ".join(f"\\command {each}{err}" for each in _each(printers)) or "\\command :"
        for printers in dialect.state
    )
    return (
        f"{_changed(dialect, scratch)};"
        f' if {here}; then {head}%s:%s\\036\\n\' {facts} "$PWD" "$3"{out};'
        f" else {head}' {facts}{out}; \\command pwd{out}; {tail}{out}; fi;"
        f' \\command [ "$1" = 0 ] || {{ \\command printf \'\\036%s:\' "$3"{err};'
        f" {dump}; {tail}{err}; }}; \\shift 3"
    )


def _changed(dialect: Dialect, scratch: str) -> str:
    """Shell code that puts 0 before the arguments if the state is what was sent last, else 1.

    Each write costs the way to us more than it costs the shell, and bash makes one of every line
    that it prints: so it first writes the state to a file, and compares; unless the user's limit
    on the size of files (`ulimit -f`) would end it for that. `printf -v` and `read`
    fail where all variables were made read-only; an assignment would end the shell. With `set -a`
    they would export what they set.
    """
    drop = "\\command unset AK_CMD"
    if dialect.name != "bash" or not scratch:
        return f'{drop} || \\command :; \\set -- 1 "$@"'
    drop = f"{{ {drop} _akn; \\command export -n _akl; }} || \\command :"
    file = quote(scratch)
    print_all = " && ".join(f"\\command {each}" for part in dialect.state for each in _each(part))
    return (
        f"{drop}; IFS= \\command read -rd '' _akn </proc/self/limits || \\command :;"
        f" if case ${{_akn-}} in *{_ROOM}*) ;; *) \\command false ;; esac"
        f" && {{ ! \\command [ -e {file} ] || \\command [ -f {file} ]; }}"
        f" && {{ {print_all} && \\command printf '\\0'; }} >|{file}"
        f" && IFS= \\command read -rd '' _akn <{file}"
        ' && \\command [ "$_akn" = "${_akl-}" ]; then \\set -- 0 "$@";'
        ' else \\command printf -v _akl %s "${_akn-}" || \\command :; \\set -- 1 "$@"; fi;'
        f" {drop}"
    )


def _each(printers: str) -> list[str]:
    return [each for each in printers.split("; ") if each]


def epilogue(dialect: Dialect, nonce: str, *, stateful: bool) -> str:
    """Have the end reported.

    Not by a function, which the user could unset. A function named `command` would be in the way:
    it does not outlive the command that makes it. bash reads its script from a pipe byte by byte
    (0.2 us each), so for it the code lies in a read-only variable; see ``start_text``.
    """
    if stateful:
        code = '\\command eval "$_ak"' if dialect.name == "bash" else _report(dialect, "")
        return f'\\set -- "$?" {nonce} "$@"; \\unset -f command; {code}\n'
    plain = f"\\command printf '\\036%s::%s\\036\\n' {nonce} {nonce}"
    return f"{{ {_facts(nonce)} >&{dialect.out}; {plain} >&{dialect.err}; }} 2>/dev/null\n"


def plain_epilogue(dialect: Dialect, nonce: str) -> str:
    """The same after a plain command: nothing but its status."""
    return f"{_facts(nonce)} >&{dialect.out}\n"


def _facts(nonce: str) -> str:
    return f'\\command printf \'\\036%s:%s 0 %s:%s\\036\\n\' {nonce} "$?" "$$ ${{!-}}" {nonce}'


def start_text(
    dialect: Dialect, state: State, removed: frozenset[bytes], nonce: str, scratch: str
) -> bytes:
    """Set C up: descriptors, then the state of the shell before it.

    Args:
        scratch: a file that C may write; "" where there is none.
    """
    lines = [f"exec {dialect.out}>&1 {dialect.err}>&2 >/dev/null 2>&1"]
    if dialect.name == "bash":
        lines.append(f"readonly _ak={quote(_report(dialect, scratch))}")
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


def no_option(command: str) -> str:
    """The same command, in a form that a shell does not take for an option of its own."""
    return f" {command}" if command.startswith("-") else command


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
    return (
        f"{before}\\command eval {quote(no_option(command))} </dev/null {_redirect(dialect, split)}"
    )


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
    inner = f"cd -- {quote(cwd)} && {exports}eval {quote(no_option(command))}"
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
