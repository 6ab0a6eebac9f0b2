"""Commands whose effects reach far, by their names, subcommands and options.

What is missing here is not harmless: it is ``medium``, unless it provably only reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agentkit.approvals.syntax import Word, words_of

_HIGH: dict[str, str] = {
    **dict.fromkeys(
        words_of("dd shred wipefs fdisk parted sfdisk blkdiscard"), "writes to devices"
    ),
    **dict.fromkeys(words_of("mount umount swapoff losetup cryptsetup"), "changes what is mounted"),
    **dict.fromkeys(words_of("shutdown reboot halt poweroff init"), "stops the machine"),
    **dict.fromkeys(words_of("kill pkill killall xkill"), "ends processes"),
    **dict.fromkeys(
        words_of(
            "systemctl service crontab at batch launchctl iptables nft sysctl insmod modprobe "
            "useradd usermod userdel passwd chpasswd visudo update-rc.d"
        ),
        "changes the system",
    ),
    **dict.fromkeys(
        words_of(
            "curl wget nc ncat netcat socat ssh scp sftp rsync ftp telnet aria2c dig nslookup "
            "host ping openssl"
        ),
        "reaches the network",
    ),
    **dict.fromkeys(
        words_of(
            "docker podman nerdctl kubectl helm terraform ansible aws gcloud az gh heroku flyctl "
            "psql mysql mongosh redis-cli"
        ),
        "acts on other systems",
    ),
}
CODE = words_of(
    "python python3 node deno bun perl ruby php lua Rscript osascript tclsh awk gawk mawk"
)
"""Programs that run code which they are given."""
_CHANGES = words_of(
    "rm rmdir unlink mv cp ln install truncate touch mkdir chmod chown chgrp setfacl tee "
    "patch sed unzip tar 7z"
)
_OUTSIDE = re.compile(r"(/(?!tmp/|dev/(null|stdout|stderr|fd/))|~|\.\.(/|$)|.*/\.\.(/|$)|\$)")
_VALUE = re.compile(r"--[^=]*=(.*)|-[A-Za-z]+((?:[/~]|\.\.).*)", re.DOTALL)
"""An option with what may be a path in the same word."""
_INSTALLERS = re.compile(
    r"(pip[\d.]*|uv|pipx|pipenv|pdm|npm|pnpm|yarn|bun|apt|apt-get|aptitude|dnf|yum|zypper|apk|brew"
    r"|cargo|gem|bundle|go|conda|mamba|poetry|snap|flatpak|composer)"
)
_INSTALLS = words_of(
    "install add i ci get upgrade update publish sync remove uninstall purge rm un download wheel "
    "dlx autoremove full-upgrade dist-upgrade build-dep"
)
_GROUPS = words_of("pip tool python self global env mod run exec x")
"""Subcommands of theirs with subcommands, or commands, behind them."""
_ALWAYS_INSTALL = words_of("npx uvx bunx pnpx easy_install dpkg rpm")
_FLAGS = words_of(
    "-p -P --no-pager --paginate --bare --no-optional-locks --literal-pathspecs -q -v -y --quiet "
    "--verbose --yes --silent -s --locked --offline --frozen -g --global"
)
"""Options in front of a subcommand that take no value."""
_GIT_ALWAYS = words_of(
    "push clean filter-branch filter-repo update-ref gc prune restore clone fetch pull submodule "
    "lfs rebase daemon send-email ls-remote svn fetch-pack send-pack"
)
_GIT_WITH: Mapping[str, re.Pattern[str]] = {
    "branch": re.compile(r"-[a-zA-Z]*[dDfMC]|--(del|for)"),
    "checkout": re.compile(r"--$|-[a-zA-Z]*[fB]|--f|\.$"),
    "remote": re.compile(r"(update|show|prune)$"),
    "reset": re.compile(r"--(h|merge|keep)"),
    "stash": re.compile(r"(drop|clear)$"),
    "switch": re.compile(r"-[a-zA-Z]*[fC]|--(f|d)"),
    "worktree": re.compile(r"(remove|prune)$"),
}
"""Subcommands that discard work with one of these behind them."""
_GIT_CONFIG_READS = re.compile(r"--get(-all|-regexp)?|--list|-l")
_GIT_CONFIG_WRITES = re.compile(r"--(a|un|rep|ren|rem|e)|-e")


def is_outside(word: Word) -> bool:
    """Whether it may name a file that is not below the present folder."""
    return not word.known or _OUTSIDE.match(word.text) is not None


def danger(words: Sequence[Word]) -> str:
    """Why a command is of high risk whatever it names, "" where it is not known to be."""
    name = words[0].text.rpartition("/")[2]
    rest = words[1:]
    if name in _HIGH or name.startswith("mkfs"):
        return _HIGH.get(name, "writes to devices")
    if _installs(name, rest):
        return "installs or publishes software"
    if name == "git" and _git(rest):
        return "discards work, or reaches others"
    if name == "find" and any(each.text == "-delete" for each in rest):
        return "removes all that it finds"
    if name == "rm" and any(re.match(r"-\w*[rR]|--(r|no-p)", each.text) for each in rest):
        return "removes folders with all that is in them"
    return ""


def changes(words: Sequence[Word], *, away: bool) -> str:
    """Whether a command changes files that it names: "" no, "inside" or "outside" of the folder."""
    if words[0].text.rpartition("/")[2] not in _CHANGES:
        return ""
    named = [place for word in words[1:] if (place := _place(word)) is not None]
    far = away or any(is_outside(each) or each.text == "*" for each in named)
    return "outside" if far else "inside"


def _place(word: Word) -> Word | None:
    """What may be a path in a word: the word, or the value in an option."""
    if not word.text.startswith("-"):
        return word
    if not word.known:
        return word
    found = _VALUE.fullmatch(word.text)
    return Word(found[1] or found[2] or "") if found else None


def _subcommands(words: Sequence[Word]) -> list[int]:
    """Where the subcommand may be: more than one place, where an option may take a value."""
    found: list[int] = []
    for index, word in enumerate(words):
        if word.text.startswith(("-", "+")):
            continue
        found.append(index)
        before = words[index - 1].text if index else ""
        if not before.startswith("-") or before in _FLAGS or "=" in before:
            break
    return found


def _installs(name: str, rest: Sequence[Word]) -> bool:
    if name in _ALWAYS_INSTALL:
        return True
    if name == "pacman":
        return any(re.match(r"-[SRU]|--(sync|remove|upgrade)", each.text) for each in rest)
    if re.fullmatch(r"(python|pypy)[\d.]*|py", name):
        return _is_module_pip(rest)
    if not _INSTALLERS.fullmatch(name):
        return False
    if name == "yarn" and not _subcommands(rest):
        return True
    for index in _subcommands(rest):
        if rest[index].text in _INSTALLS:
            return True
        if rest[index].text in _GROUPS and _installs_behind(name, rest[index:]):
            return True
    return False


def _installs_behind(name: str, rest: Sequence[Word]) -> bool:
    """In ``uv pip install``, ``uv run pip install``, but not the script of ``npm run update``."""
    group, behind = rest[0].text, rest[1:]
    if group in ("run", "exec", "x"):
        fetches = group != "run" or name == "pipx" or any(w.text == "--with" for w in behind)
        places = _subcommands(behind)
        return fetches or any(_installs(behind[at].text, behind[at + 1 :]) for at in places)
    verbs = _INSTALLS | {"run", "create", "tidy"}
    return any(behind[at].text in verbs for at in _subcommands(behind))


def _is_module_pip(rest: Sequence[Word]) -> bool:
    for index, word in enumerate(rest):
        after = rest[index + 1 :]
        if word.text == "-m" and after:
            return _installs(after[0].text, after[1:])
        if re.fullmatch(r"-[A-Za-z]*m\w+", word.text):
            return _installs(word.text.partition("m")[2], after)
        if not word.text.startswith("-"):
            return False
    return False


def _git(rest: Sequence[Word]) -> bool:
    places = _subcommands(rest)
    options = rest[: places[-1]] if places else rest
    if any(re.match(r"-c|--config-env|--exec-path=", each.text) for each in options):
        return True
    return any(_git_subcommand(rest[at].text, rest[at + 1 :]) for at in places)


def _git_subcommand(name: str, rest: Sequence[Word]) -> bool:
    if name == "config":
        texts = [each.text for each in rest]
        lists = texts[:1] in (["get"], ["list"])
        reads = lists or any(_GIT_CONFIG_READS.fullmatch(each) for each in texts[:2])
        return not reads or any(_GIT_CONFIG_WRITES.match(each) for each in texts)
    if name in _GIT_WITH:
        return any(_GIT_WITH[name].match(each.text) for each in rest)
    return name in _GIT_ALWAYS
