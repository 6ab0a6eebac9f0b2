"""The programs that search: ripgrep, or git, find and grep.

What they print is read in a thread: megabytes of it take longer than an event loop may be held.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import partial
from typing import cast

from anyio import to_thread

from agentkit.errors import ToolError
from agentkit.sandbox import ExecResult, Sandbox
from agentkit.tool import ToolContext
from agentkit.tools import _globs, _hits
from agentkit.tools._text import clip_line, counted, readable

TIME_LIMIT = 60.0
_KEPT_BYTES = 8 << 20
_LONGEST_LINE = 4_000

SKIPPED = (".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox")
"""Directories left out where nobody can tell what the project ignores."""

# What is escaped or in brackets, so that a `$` outside is one that means a line's end.
_DOLLAR = re.compile(r"\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\$", re.DOTALL)

_PROBE = """
command -v rg >/dev/null 2>&1 && echo rg
command -v git >/dev/null 2>&1 && echo git
echo a1 | grep -qP 'a\\d' 2>/dev/null && echo perl
printf a | grep -Z a /dev/null >/dev/null 2>&1; [ $? -le 1 ] && echo nul
:"""

_FIND = "find . \\( -type d \\( {} \\) -prune \\) -o -type f -print0".format(
    " -o ".join(f"-name {name}" for name in SKIPPED)
)

# A workspace of another owner is refused otherwise; a listing is all that is wanted. Three
# sections, each ended by an empty name: the files, those of them that only the index still has, and
# those that are submodules (sed reads lines, so NUL and line break change places around it).
_GIT_FILES = r"""
any_git() { git -c safe.directory='*' "$@"; }
list() { any_git ls-files -z "$@"; }
swap() { tr '\n\0' '\0\n'; }
submodules() { list --stage | swap | sed -n 's/^160000 [0-9a-f]* [0-3].//p' | swap; }
sections() {
  failed=0
  list --cached --others --exclude-standard || failed=1; printf '\0'
  list --deleted || failed=1; printf '\0'
  submodules; printf '\0'
  return $failed
}
"""

# The same for each repository named, and a fourth section: what find sees where git fails, or the
# repository is not checked out.
_GIT_FILES_WITHIN = f"""{_GIT_FILES}
own() {{ [ -e .git ] && [ -z "$(any_git rev-parse --show-prefix)" ]; }}
for folder; do (
  cd "./$folder" || {{ printf '\\0\\0\\0\\0'; exit; }}
  if own; then sections; else printf '\\0\\0\\0'; false; fi || {_FIND}
  printf '\\0'
) 2>/dev/null; done"""


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for."""

    folder: str
    target: str
    """``.``, or the name of the one file in ``folder`` that is searched."""
    pattern: str
    glob: str
    ignore_case: bool
    context_lines: int

    @property
    def start(self) -> str:
        """Where the search begins, seen from ``folder``; never looks like an option."""
        return "./" if self.target == "." else f"./{self.target}"

    @property
    def describe(self) -> str:
        where = self.folder if self.target == "." else f"{self.folder.rstrip('/')}/{self.target}"
        parts = [repr(self.pattern) if self.pattern else "", f"in {where}", self.glob]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Engine:
    """How this sandbox can be searched; found out once per session."""

    sandbox: Sandbox
    has_rg: bool
    has_git: bool
    greps_perl: bool
    greps_nul: bool

    @classmethod
    async def of(cls, context: ToolContext, sandbox: Sandbox) -> Engine:
        """The engine of this session's sandbox."""
        known = cast("Engine | None", context.state.get("search_engine"))
        if known is not None and known.sandbox is sandbox:
            return known
        words = (await sandbox.exec(_PROBE)).output.data.decode().split()
        engine = cls(sandbox, *(name in words for name in ("rg", "git", "perl", "nul")))
        context.state["search_engine"] = engine
        return engine

    async def contents(self, query: Query) -> tuple[list[_hits.FileHits], str, bool]:
        """The lines that match, a note on what was left out, and whether there may be more."""
        if self.has_rg:
            return await self._ripgrep(query)
        return await self._grep(query)

    async def names(self, query: Query) -> tuple[list[str], str, bool]:
        """The files that match, a note on what was left out, and whether there may be more."""
        if self.has_rg:
            ran = await self._run(_rg(query), query.folder)
            _refuse_bad_pattern(query, ran, ran.output.total > 0)
            paths, note, cut = _split(_kept(ran)), "", _was_cut(ran)
        else:
            paths, note, cut = await self._paths(query)
        return await to_thread.run_sync(_names, paths), note, cut

    async def _ripgrep(self, query: Query) -> tuple[list[_hits.FileHits], str, bool]:
        ran = await self._run(_rg(query), query.folder)
        files = await to_thread.run_sync(_hits.parse_nul, _kept(ran))
        _refuse_bad_pattern(query, ran, bool(files))
        stopped = [each.raw_path for each in files if each.stopped]
        if not stopped:
            return files, "", _was_cut(ran)
        # These begin as a text does, with a match: they are read to the end. All files as text at
        # once would mean to read through every archive and image.
        listing = b"".join(path + b"\0" for path in stopped)
        again = await self._run(f"xargs -0 {_rg_words(query)} --text --", query.folder, listing)
        found = await to_thread.run_sync(_hits.parse_nul, _kept(again))
        whole = {each.raw_path: each for each in found}
        dropped = sum(each.drop_nul_lines() for each in whole.values())
        note = f"\n[{counted(dropped, 'line')} with NUL characters left out]" if dropped else ""
        files = [whole.get(each.raw_path, each) for each in files]
        files = [each for each in files if each.matches]
        return files, note, _was_cut(ran) or _was_cut(again)

    async def _grep(self, query: Query) -> tuple[list[_hits.FileHits], str, bool]:
        if "\\n" in query.pattern or "\n" in query.pattern:
            raise ToolError("there is no ripgrep here, so a pattern cannot span lines")
        paths, note, listing_cut = await self._paths(query)
        if not self.greps_nul:
            named = [path for path in paths if b"\n" not in path]
            if len(named) < len(paths):
                odd = counted(len(paths) - len(named), "file")
                note += f"\n[{odd} with a line break in the name left out]"
            paths = named
        if not paths:
            return [], note, listing_cut
        listing = b"".join(path + b"\0" for path in paths)
        ran = await self._run(f"xargs -0 {self._grep_words(query)}", query.folder, listing)
        parse = _hits.parse_nul if self.greps_nul else partial(_hits.parse_colons, paths=paths)
        parsed = await to_thread.run_sync(parse, _kept(ran))
        # A file asked for by its name is shown as it is.
        named = query.target != "."
        files = [each for each in parsed if named or not each.with_nul]
        _refuse_bad_pattern(query, ran, bool(parsed))
        files.sort(key=lambda each: each.path)
        return files, note, listing_cut or _was_cut(ran)

    def _grep_words(self, query: Query) -> str:
        # -a: a text in another encoding is text, too; -s: what cannot be read is skipped.
        pattern = query.pattern if self.greps_perl else query.pattern.replace(r"\d", "[0-9]")
        if not _names_cr(query.pattern):
            pattern = _dollars_before_cr(pattern, r"\r" if self.greps_perl else "\r")
        words = ["grep", "-nHas", "-P" if self.greps_perl else "-E"]
        words += ["-Z"] if self.greps_nul else []
        words += ["-i"] if query.ignore_case else []
        words += ["-C", str(query.context_lines)] if query.context_lines else []
        return shlex.join([*words, "-e", pattern, "--"])

    async def _paths(self, query: Query) -> tuple[list[bytes], str, bool]:
        """The files to search, with ``./`` in front so that no name looks like an option."""
        if query.target != ".":
            return [query.start.encode()], "", False
        paths, note, cut = await self._listing(query)
        return await to_thread.run_sync(_chosen, paths, query.glob), note, cut

    async def _listing(self, query: Query) -> tuple[list[bytes], str, bool]:
        """All files that the project does not ignore, as git or find sees them."""
        if self.has_git:
            files, cut = await self._git_files(query.folder)
            if files:
                return files, "", cut
        ran = await self._run(_FIND, query.folder)
        note = f"\n[ignore files are not applied here; skipped: {', '.join(SKIPPED)}]"
        return _split(_kept(ran)), note, _was_cut(ran)

    async def _git_files(self, folder: str) -> tuple[list[bytes], bool]:
        """What git does not ignore, also in the repositories within: of these it tells the name."""
        ran = await self._run(f"{_GIT_FILES}\nsections", folder)
        if not ran.ok:
            return [], False
        files, repositories = _git_listing(_kept(ran), [b""])
        cut = _was_cut(ran)
        while repositories:
            names = b"".join(name + b"\0" for name in repositories)
            each = f"xargs -0 sh -c {shlex.quote(_GIT_FILES_WITHIN)} sh"
            ran = await self._run(each, folder, names)
            more, repositories = _git_listing(_kept(ran), repositories)
            files += more
            cut = cut or _was_cut(ran)
        return files, cut

    async def _run(self, command: str, folder: str, stdin: bytes = b"") -> ExecResult:
        ran = await self.sandbox.exec(
            command,
            cwd=folder,
            stdin=stdin,
            env={"LC_ALL": "C.UTF-8"},
            timeout=TIME_LIMIT,
            keep=_KEPT_BYTES,
            split=True,
        )
        if ran.ended == "timeout":
            raise ToolError(
                f"the search took longer than {TIME_LIMIT:g} seconds: narrow the path or glob"
            )
        return ran


def _rg(query: Query) -> str:
    """The whole command, for contents or names; a file asked for by its name is read as text."""
    words = ["--text"] if query.pattern and query.target != "." else []
    return f"{_rg_words(query)} {shlex.join([*words, '--', query.start])}"


def _rg_words(query: Query) -> str:
    words = ["rg", "--no-config", "--no-messages", "--hidden", "--no-require-git", "--sort=path"]
    words += ["--color=never", "--null", "--glob=!.git"]
    words += [f"--glob={query.glob}"] if query.glob else []
    if not query.pattern:
        return shlex.join([*words, "--files"])
    words += ["--line-number", "--with-filename", "--no-heading"]
    words += [f"--max-columns={_LONGEST_LINE}", "--max-columns-preview"]
    words += ["--ignore-case"] if query.ignore_case else []
    words += [f"--context={query.context_lines}"] if query.context_lines else []
    words += ["--multiline"] if "\\n" in query.pattern or "\n" in query.pattern else []
    words += [] if _names_cr(query.pattern) else ["--crlf"]
    return shlex.join([*words, "--regexp", query.pattern])


def _names_cr(pattern: str) -> bool:
    """Whether the pattern itself speaks of carriage returns: then they are no part of line ends."""
    return any(word in pattern.lower() for word in ("\r", r"\r", r"\x0d", r"\x{d}", r"\x{0d}"))


def _dollars_before_cr(pattern: str, cr: str) -> str:
    """The pattern with each ``$`` that means a line's end also matching before a CR."""
    return _DOLLAR.sub(lambda found: f"{cr}?$" if found[0] == "$" else found[0], pattern)


def _split(output: bytes) -> list[bytes]:
    return [path.removeprefix(b"./") for path in output.split(b"\0")[:-1]]


def _names(paths: list[bytes]) -> list[str]:
    return [readable(path.removeprefix(b"./")) for path in paths]


def _chosen(paths: list[bytes], glob: str) -> list[bytes]:
    """Those that the glob takes, in order."""
    if glob:
        paths = [path for path in paths if _globs.matches(glob, readable(path))]
    return [b"./" + path for path in sorted(paths)]


def _git_listing(output: bytes, folders: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The files of these repositories, and the folders of the repositories within them."""
    sections: list[set[bytes]] = [set()]
    for name in _split(output):
        if name:
            sections[-1].add(name)
        else:
            sections.append(set())
    sections += [set()] * (4 * len(folders) - len(sections))  # where the output was cut
    files: list[bytes] = []
    within: list[bytes] = []
    for number, folder in enumerate(folders):
        named, gone, submodules, found = sections[4 * number : 4 * number + 4]
        for name in sorted((named - gone) | found):
            if name in submodules or name.endswith(b"/"):
                within.append(folder + name.rstrip(b"/") + b"/")
            else:
                files.append(folder + name)
    return files, within


def _kept(ran: ExecResult) -> bytes:
    """The whole output, or its start where the middle was dropped."""
    return ran.output.head if ran.output.omitted else ran.output.data


def _was_cut(ran: ExecResult) -> bool:
    return ran.output.omitted > 0 or ran.ended == "flood"


def _refuse_bad_pattern(query: Query, ran: ExecResult, found: bool) -> None:
    """An exit code of 2 with words on standard error, and nothing found, is a bad pattern."""
    words = readable(ran.stderr.data) if ran.stderr else ""
    lines = [line for line in words.splitlines() if line.strip() and "directory" not in line]
    if ran.exit_code >= 2 and lines and not found:
        shown = "\n".join(clip_line(line, 200) for line in lines[:4])
        raise ToolError(f"the search {query.describe} failed:\n{shown}")
