"""Commands that run another command: which one, as far as it can be known.

Options are taken by their exact spelling: a cluster, an abbreviation, or one that is not listed may
take the next word as its value, and the command would be another one. Such a call is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentkit.approvals.syntax import Word, words_of

_READ_SHELLS = words_of("sh bash dash ash rbash")
_OTHER_SHELLS = words_of("zsh ksh mksh fish csh tcsh nu pwsh elvish xonsh osh ysh")
"""Their grammar is another one."""
SHELLS = _READ_SHELLS | _OTHER_SHELLS
_NUMBER = r"[+-]?[0-9]+"
_NAME = r"[A-Za-z0-9_][\w.+-]*"
_ONE = r"[^-].*"
"""Any one word."""
_TIME = r"[0-9]*\.?[0-9]+[smhd]?"


@dataclass(frozen=True, slots=True)
class _Options:
    """What may stand between a wrapper and the command that it runs."""

    flags: frozenset[str] = frozenset()
    short: Mapping[str, str] | None = None
    """Options with a value, ``-n 5`` or ``-n5``, and the form of their value."""
    long: Mapping[str, str] | None = None
    """The same with two dashes, ``--adjustment=5``."""
    operands: tuple[str, ...] = ()
    """Words behind the options, in front of the command."""

    def taken(self, words: Sequence[Word]) -> int:
        """How many words the option in front takes; 0 where it is none of these."""
        text = words[0].text
        if text in self.flags:
            return 1
        name, equals, value = text.partition("=")
        if equals and name in (self.long or {}):
            return int(_fits(Word(value, many=words[0].many), (self.long or {})[name]))
        if (form := (self.short or {}).get(text)) is not None:
            return 2 if len(words) > 1 and _fits(words[1], form) else 0
        form = (self.short or {}).get(text[:2])
        return int(form is not None and _fits(Word(text[2:], many=words[0].many), form))


def _fits(word: Word, form: str) -> bool:
    return word.known and not word.many and re.fullmatch(form, word.text, re.DOTALL) is not None


_RIGHTS = _Options(
    words_of("-n -E -H -b -k -P --non-interactive --preserve-env --set-home --background"),
    dict.fromkeys(words_of("-u -g -h -p -C -D -R -T -U -r -t"), _ONE),
    dict.fromkeys(words_of("--user --group --host --prompt --chdir --chroot"), _ONE),
)
_OPTIONS: Mapping[str, _Options] = {
    "builtin": _Options(),
    "chroot": _Options(operands=(_ONE,)),
    "command": _Options(words_of("-p")),
    "doas": _Options(words_of("-n"), {"-u": _NAME}),
    "env": _Options(
        words_of("- -i -0 -v --ignore-environment --null --debug"),
        {"-u": _NAME},
        {"--unset": _NAME},
    ),
    "exec": _Options(words_of("-c -l"), {"-a": _ONE}),
    "ionice": _Options(words_of("-t --ignore"), {"-c": _NAME, "-n": _NUMBER}),
    "nice": _Options(
        frozenset(f"-{number}" for number in range(20)), {"-n": _NUMBER}, {"--adjustment": _NUMBER}
    ),
    "runuser": _Options(short={"-u": _NAME}),
    "setsid": _Options(words_of("-w --wait -f --fork")),
    "stdbuf": _Options(short=dict.fromkeys(words_of("-i -o -e"), r"[0L]|[0-9]+[KMG]?")),
    "sudo": _RIGHTS,
    "time": _Options(words_of("-p")),  # others are GNU time's, which writes files
    "timeout": _Options(
        words_of("--foreground --preserve-status -v --verbose"),
        {"-s": _NAME, "-k": _TIME},
        {"--signal": _NAME, "--kill-after": _TIME},
        (_TIME,),
    ),
    "xargs": _Options(
        words_of("-0 --null -r --no-run-if-empty -t --verbose -x --exit"),
        {**dict.fromkeys(words_of("-n -P -L -s"), _NUMBER), "-d": _ONE, "-I": _ONE, "-a": _ONE},
        {
            **dict.fromkeys(words_of("--max-args --max-procs --max-lines --max-chars"), _NUMBER),
            **dict.fromkeys(words_of("--delimiter --arg-file --replace"), _ONE),
        },
    ),
}
"""Of a wrapper that is not here, no option is known."""
TRANSPARENT = words_of("nice ionice stdbuf timeout setsid time command builtin env")
"""They change nothing about what the inner command may do. Not ``nohup``, which writes a file."""
PRIVILEGED = words_of("sudo doas su runuser pkexec chroot unshare nsenter setpriv")
OPAQUE = words_of(
    "parallel watch script flock strace ltrace gdb expect at batch coproc entr fd fdfind"
)
"""They may run another command in ways that are not looked into."""
_PREFIXES = TRANSPARENT | PRIVILEGED | words_of("xargs exec nohup")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SHELL_FLAGS = re.compile(r"-[abefhilmnpuvxBCH]*c?[abefhilmnpuvxBCH]*|\+[abefhmnpuvxBCH]+")
_SHELL_LONG = words_of("--login --noprofile --norc --posix --restricted --verbose")


@dataclass(frozen=True, slots=True)
class Inner:
    """What a command runs besides itself."""

    words: tuple[Word, ...] = ()
    """A simple command."""
    code: str | None = None
    """A text that a shell reads."""
    assigns: tuple[str, ...] = ()
    unknown: str = ""
    """Why it cannot be known, in words."""


def inner(words: Sequence[Word], *, fed: bool) -> list[Inner]:
    """All that this command runs besides itself; empty of an ordinary one."""
    name = words[0].text.rpartition("/")[2]
    rest = list(words[1:])
    if name in SHELLS:
        return _shell(name, rest, fed=fed)
    if name in ("busybox", "toybox"):
        return [Inner(tuple(rest))] if rest else []
    if name == "eval":
        return [_code(rest, " ".join(word.text for word in rest))]
    if name == "trap":
        return [_code(rest[:1], rest[0].text)] if len(rest) > 1 else []
    if name == "find":
        return _find(rest)
    if name == "command" and rest and rest[0].text in ("-v", "-V"):
        return []  # it only says what it would run
    if name in ("su", "runuser") and (name == "su" or not rest or rest[0].text != "-u"):
        return _su(rest)
    return _prefix(name, rest) if name in _PREFIXES else []


def _code(words: Sequence[Word], text: str) -> Inner:
    if all(word.known and not word.many for word in words):
        return Inner(code=text)
    return Inner(unknown="it runs code that is only known when it runs")


def _shell(name: str, rest: list[Word], *, fed: bool) -> list[Inner]:
    if name in _OTHER_SHELLS:
        return [Inner(unknown=f"{name} reads commands by a grammar of its own")]
    strange = [Inner(unknown="a shell with options that are not looked into")]
    reads_code = False
    for index, word in enumerate(rest):
        if not word.known:
            return [Inner(unknown="a shell with options that are only known when it runs")]
        if word.text in ("-", "--"):
            rest = rest[index + 1 :]
            break
        if not word.text.startswith(("-", "+")):
            rest = rest[index:]
            break
        if word.text not in _SHELL_LONG and not _SHELL_FLAGS.fullmatch(word.text):
            return strange
        reads_code = reads_code or (word.text[:2] != "--" and "c" in word.text)
    else:
        rest = []
    if reads_code:
        return [_code(rest[:1], rest[0].text)] if rest else strange
    if rest:
        return []  # a script's file
    why = "a shell that runs what it is given on standard input"
    return [Inner(unknown=why if fed else "a shell that reads its commands")]


def _su(rest: Sequence[Word]) -> list[Inner]:
    """Another user's shell: what ``-c`` gives it, and nothing else is known."""
    found = [
        _code([code], code.text)
        for option, code in pairwise(rest)
        if option.text in ("-c", "--command")
    ]
    return [*found, Inner(unknown="the shell of another user")]


def _prefix(name: str, rest: list[Word]) -> list[Inner]:
    """A command in front of another one: options, perhaps a value, then the other."""
    options = _OPTIONS.get(name, _Options())
    assigns: list[str] = []
    for placeholder in _skip_options(rest, options):
        rest = _filled_in(rest, placeholder)
    if rest and rest[0].known and rest[0].text == "--":
        rest = rest[1:]
    elif rest and (not rest[0].known or rest[0].text.startswith("-")):
        return [Inner(unknown=f"{name} has an option that is not looked into")]
    for form in options.operands:
        if not rest or not _fits(rest[0], form):
            return [Inner(unknown=f"{name} has a value that is not looked into")]
        rest = rest[1:]
    while rest and name == "time" and rest[0].text == "!":
        rest = rest[1:]  # the shell's own word, which the grammar takes for a command
    while rest and name in ("env", "sudo", "doas", "time") and _ASSIGNMENT.match(rest[0].text):
        assigns.append(rest[0].text)
        rest = rest[1:]
    if not rest:
        return [Inner(assigns=tuple(assigns))] if assigns else []
    if not rest[0].known:
        return [Inner(unknown="the command that it runs is only known when it runs")]
    more = (Word("…", known=False),) if name == "xargs" else ()
    return [Inner((*rest, *more), assigns=tuple(assigns))]


def _skip_options(rest: list[Word], options: _Options) -> list[str]:
    """Take the options off the front; returns what stands for the input in xargs' command."""
    placeholders = ["{}"]
    while rest and rest[0].known and (taken := options.taken(rest)):
        text = rest[0].text
        if text == "-I":
            placeholders.append(rest[1].text)
        elif text.startswith(("-I", "--replace=")):
            placeholders.append(text.removeprefix("-I").removeprefix("--replace="))
        del rest[:taken]
    return placeholders


def _filled_in(words: Sequence[Word], placeholder: str) -> list[Word]:
    """Words in which something else is put before they run are not known."""
    return [
        Word(each.text, each.known and placeholder not in each.text, each.many) for each in words
    ]


def _find(rest: list[Word]) -> list[Inner]:
    found: list[Inner] = []
    index = 0
    while index < len(rest):
        if rest[index].known and rest[index].text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = _find_end(rest, index + 1)
            found.append(Inner(tuple(_filled_in(rest[index + 1 : end], "{}"))))
            if end == len(rest):
                found.append(Inner(unknown="find runs a command whose end is not known"))
            index = end
        index += 1
    return found


def _find_end(rest: Sequence[Word], index: int) -> int:
    """Where the command that find runs ends: at ``;``, or at a ``+`` right behind ``{}``."""
    while index < len(rest):
        ends = rest[index].text == ";" or (rest[index].text == "+" and rest[index - 1].text == "{}")
        if rest[index].known and ends:
            break
        index += 1
    return index
