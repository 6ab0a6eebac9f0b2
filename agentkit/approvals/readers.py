"""Commands that only read, and with which arguments.

The list is short on purpose: what is not here, or has an option that is not known to be harmless,
is not proven to only read. Options were taken from the manuals of GNU coreutils 9, findutils 4.9,
git 2.39 and ripgrep 14 (Debian 12); abbreviations of long options, which GNU and git accept, count
as the option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from agentkit.approvals.syntax import Word, words_of

_ANY = words_of(
    "arch b2sum base32 base64 basename cat cksum cmp comm cut df diff dirname du echo "
    "egrep expand expr false fgrep fold free getconf grep groups head hexdump id "
    "locale ls md5sum nl nproc od paste pwd readlink realpath rev seq sha1sum "
    "sha224sum sha256sum sha384sum sha512sum sleep stat strings tac tail tr true type "
    "uname unexpand uptime wc which whoami"
)
"""Whatever their arguments are, they change nothing and run nothing."""
_FIND = re.compile(r"-(exec|execdir|ok|okdir|delete|fprint|fprint0|fprintf|fls)$")
_SORT = re.compile(r"-(-o|-c|-t|[^-]*[oT])")
_RG = re.compile(r"--(pre|hostname-bin)")
_GIT_READS = words_of(
    "blame cat-file describe diff diff-tree for-each-ref grep log ls-files ls-tree "
    "merge-base name-rev rev-list rev-parse shortlog show status"
)
_GIT_NEVER = re.compile(r"--(ou(?!rs$)|op|ext|te|fi(?!r|x)|exe)|-O")
_GIT_LISTS: Mapping[str, re.Pattern[str]] = {
    "branch": re.compile(r"(-[arv]+|--list|--all|--remotes|--show-current|--no-color)?"),
    "tag": re.compile(r"(-l|--list|-n)?"),
    "remote": re.compile(r"(-v|--verbose)?"),
    "stash": re.compile(r"list|show"),
    "worktree": re.compile(r"list"),
    "reflog": re.compile(r"(show)?"),
    "version": re.compile(r"()"),
}
"""Subcommands that also change: these arguments only list."""
_SED = re.compile(r"[0-9,$ ]+p|/[\w .-]+/p|[0-9]+q")


def _all_known(words: Sequence[Word]) -> bool:
    return all(word.known for word in words)


def _none_is(pattern: re.Pattern[str]) -> Callable[[Sequence[Word]], bool]:
    return lambda words: _all_known(words) and not any(pattern.match(each.text) for each in words)


def _git(words: Sequence[Word]) -> bool:
    texts = [word.text for word in words]
    while texts and texts[0] in ("-C", "--no-pager", "--no-optional-locks", "-P"):
        if texts[0] == "-C" and not all(_is_single(each) for each in words[1:2]):
            return False  # a pattern may be two words, and the second the subcommand
        skipped = 2 if texts[0] == "-C" else 1
        texts, words = texts[skipped:], words[skipped:]
    if not _all_known(words) or not texts:
        return False
    sub, rest = texts[0], texts[1:]
    if sub == "--version":
        return not rest
    if sub in _GIT_LISTS:
        return len(rest) <= 2 and all(_GIT_LISTS[sub].fullmatch(each) for each in rest or [""])
    return sub in _GIT_READS and not any(_GIT_NEVER.match(each) for each in rest)


def _sed(words: Sequence[Word]) -> bool:
    texts = [word.text for word in words]
    if not _all_known(words) or len(texts) < 2 or texts[0] != "-n":
        return False
    return bool(_SED.fullmatch(texts[1])) and not any(each.startswith("-") for each in texts[2:])


def _date(words: Sequence[Word]) -> bool:
    harmless = re.compile(r"\+.*|-u|--utc|-R|-I\w*|--iso-8601(=\w+)?", re.DOTALL)
    return _all_known(words) and all(harmless.fullmatch(each.text) for each in words)


def _is_single(word: Word) -> bool:
    """Exactly one word when it runs: no pattern, which may become several."""
    return word.known and not word.many


def _uniq(words: Sequence[Word]) -> bool:
    """The second operand is written, and ``-`` is an operand."""
    operands = [each for each in words if not re.match(r"-.", each.text)]
    return all(_is_single(each) for each in words) and len(operands) <= 1


_JQ_NEVER = re.compile(r"-[^-]*[fL]|--(from|lib)|.*(env|ENV|\b(import|include|get_search_list)\b)")


def _jq(words: Sequence[Word]) -> bool:
    """Its program is known, and prints no environment: the first operand is the program."""
    for word in words:
        if not word.known:
            return False
        if not word.text.startswith("-"):
            break
    return bool(words) and not any(_JQ_NEVER.match(each.text.replace("\n", " ")) for each in words)


_PS = re.compile(r"-[efFAadly]+|-ww?|[auxfwlj]+|--no-headers|--forest|--sort=[-+\w,]+")


def _ps(words: Sequence[Word]) -> bool:
    """No ``e`` without a dash, which prints the environment, and nothing that ps reads anew so."""
    texts = [word.text for word in words]
    for index, text in enumerate(texts):
        before = texts[index - 1] if index else ""
        is_format = re.fullmatch(r"-[efAa]*o", before) and re.fullmatch(r"[a-z]{2,}[\w,=]*", text)
        is_process = before == "-p" and re.fullmatch(r"[0-9]+", text)
        takes = re.fullmatch(r"-[efAa]*o|-p", text) and index + 1 < len(texts)
        if not (_PS.fullmatch(text) or is_format or is_process or takes):
            return False
    return _all_known(words)


def _printf(words: Sequence[Word]) -> bool:
    return bool(words) and words[0].known and not words[0].text.startswith("-")


def _cd(words: Sequence[Word]) -> bool:
    return _all_known(words) and len(words) <= 1


def _version(words: Sequence[Word]) -> bool:
    return len(words) == 1 and words[0].known and words[0].text in ("--version", "-V", "-version")


_SOME: Mapping[str, Callable[[Sequence[Word]], bool]] = {
    "cd": _cd,
    "command": lambda words: bool(words) and words[0].known and words[0].text in ("-v", "-V"),
    "date": _date,
    "file": _none_is(re.compile(r"-(-c|[^-]*C)")),
    "find": _none_is(_FIND),
    "git": _git,
    "jq": _jq,
    "printf": _printf,
    "ps": _ps,
    "rg": _none_is(_RG),
    "sed": _sed,
    "sort": _none_is(_SORT),
    "tree": _none_is(re.compile(r"-(-o|[^-]*[oR])")),
    "uniq": _uniq,
    **dict.fromkeys(
        words_of("cargo cmake gcc go java make node npm pip python python3 ruby"),
        _version,
    ),
}
_PLACES = ("/bin/", "/usr/bin/")


def plain_name(name: str) -> str:
    """The name without the folder of the system's own programs."""
    for place in _PLACES:
        if name.startswith(place):
            return name[len(place) :]
    return name


def only_reads(words: Sequence[Word]) -> bool:
    """Whether a command, by its name and arguments, provably changes nothing and runs nothing."""
    if not words or not words[0].known:
        return False
    name, rest = plain_name(words[0].text), words[1:]
    return name in _ANY or (name in _SOME and _SOME[name](rest))
