"""Commands that run another command: which one, as far as it can be known."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.approvals.syntax import Word, words_of

SHELLS = words_of("sh bash dash ash zsh ksh mksh rbash fish")
_OPTIONS_WITH_VALUE = {
    "chroot": "",
    "doas": "-u -C",
    "env": "-u --unset -C --chdir",
    "exec": "-a",
    "ionice": "-c -n -p",
    "nice": "-n",
    "runuser": "-u -g",
    "stdbuf": "-i -o -e",
    "su": "-c",
    "sudo": "-u -g -h -p -C -D -R -T -U -r -t --user --group --host --prompt --chdir --chroot",
    "timeout": "-s -k --signal --kill-after",
    "xargs": "-I -n -P -d -L -s -a -E --max-args --max-procs --delimiter --arg-file --max-lines"
    " --max-chars",
}
TRANSPARENT = words_of("nice ionice stdbuf timeout nohup setsid time command builtin env")
"""They change nothing about what the inner command may do."""
PRIVILEGED = words_of("sudo doas su runuser pkexec chroot unshare nsenter setpriv")
OPAQUE = words_of(
    "parallel watch script flock strace ltrace gdb expect at batch coproc entr fd fdfind"
)
"""They may run another command in ways that are not looked into."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


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
        return _shell(rest, fed=fed)
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
    if name in TRANSPARENT or name in PRIVILEGED or name in ("xargs", "exec"):
        return _prefix(name, rest)
    return []


def _code(words: Sequence[Word], text: str) -> Inner:
    if all(word.known for word in words):
        return Inner(code=text)
    return Inner(unknown="it runs code that is only known when it runs")


def _shell(rest: list[Word], *, fed: bool) -> list[Inner]:
    for index, word in enumerate(rest):
        if not word.known:
            return [Inner(unknown="a shell with options that are only known when it runs")]
        if word.text.startswith("--") and word.text != "--":
            continue
        if re.fullmatch(r"[-+][A-Za-z]+", word.text):
            if word.text.startswith("-") and "c" in word.text:
                after = rest[index + 1 :]
                while after and after[0].text.startswith("-"):
                    after = after[1:]
                return [_code(after[:1], after[0].text)] if after else []
            if "o" in word.text or "O" in word.text or "s" in word.text:
                return [Inner(unknown="a shell with options that are not looked into")]
            continue
        return []  # a script's file
    why = "a shell that runs what it is given on standard input"
    return [Inner(unknown=why if fed else "a shell that reads its commands")]


def _prefix(name: str, rest: list[Word]) -> list[Inner]:
    """A command in front of another one: options, perhaps a value, then the other."""
    valued = _OPTIONS_WITH_VALUE.get(name, "").split()
    assigns: list[str] = []
    if name == "xargs":
        rest = _filled_in(rest, _placeholder(rest))
    while rest:
        word = rest[0]
        if not word.known:
            break
        if name == "env" and (word.text.startswith(("-S", "--s")) or word.text == "-vS"):
            return [_split(word, rest[1:])]
        if name == "su" and word.text in ("-c", "--command"):
            return [_code(rest[1:2], rest[1].text)] if len(rest) > 1 else []
        if name in ("env", "sudo", "doas") and _ASSIGNMENT.match(word.text):
            assigns.append(word.text)
            rest = rest[1:]
        elif word.text.startswith("-") and word.text != "-":
            rest = rest[2 if word.text in valued else 1 :]
        else:
            break
    if name in ("timeout", "chroot"):
        rest = rest[1:]
    if not rest:
        return [Inner(assigns=tuple(assigns))] if assigns else []
    if not rest[0].known:
        return [Inner(unknown="the command that it runs is only known when it runs")]
    more = (Word("…", known=False),) if name == "xargs" else ()
    return [Inner((*rest, *more), assigns=tuple(assigns))]


def _split(word: Word, rest: list[Word]) -> Inner:
    text = word.text.removeprefix("-vS").removeprefix("-S").removeprefix("--split-string=")
    try:
        words = [Word(each) for each in shlex.split(text)]
    except ValueError:
        words = []
    if not words or not all(each.known for each in rest) or "$" in text or "\\" in text:
        return Inner(unknown="env splits a text into a command")
    return Inner((*words, *rest))


def _filled_in(words: Sequence[Word], placeholder: str) -> list[Word]:
    """Words in which something else is put before they run are not known."""
    return [Word(each.text, each.known and placeholder not in each.text) for each in words]


def _placeholder(rest: Sequence[Word]) -> str:
    for index, word in enumerate(rest):
        if word.text.startswith(("-I", "-i")) and word.text[2:]:
            return word.text[2:]
        if word.text == "-I" and index + 1 < len(rest):
            return rest[index + 1].text
        if word.text.startswith("--replace="):
            return word.text.removeprefix("--replace=")
    return "{}"


def _find(rest: list[Word]) -> list[Inner]:
    found: list[Inner] = []
    index = 0
    while index < len(rest):
        if rest[index].known and rest[index].text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = index + 1
            while end < len(rest) and not (rest[end].known and rest[end].text in (";", "+")):
                end += 1
            found.append(Inner(tuple(_filled_in(rest[index + 1 : end], "{}"))))
            index = end
        index += 1
    return found
