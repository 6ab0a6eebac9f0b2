"""Policies as data: what runs, what is asked, what is refused."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from agentkit.approvals.syntax import Simple
from agentkit.errors import UsageError
from agentkit.hooks import Approval

if TYPE_CHECKING:
    from agentkit.hooks import Call, Refuse

Action = Literal["allow", "ask", "deny"]
Fit = Literal["no", "maybe", "yes"]
Decide = Callable[["Call"], Awaitable["Action | Refuse | None"]]
"""A callback: what to do with a call, None for no opinion. The call has risk and reasons."""
_TOOL = re.compile(r"([A-Za-z0-9_*?-]+)\((.*)\)", re.DOTALL)
_OPTIONS = re.compile(r"-[A-Za-z]+")
_MOST_RULES = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: ``allow git status*``, ``deny str_replace_editor(/etc/*)``.

    Args:
        action: what becomes of a call that it fits.
        pattern: of a shell tool, words of a *simple command*; of another tool, the files that the
            call writes, as absolute paths. ``*`` alone fits every call.
        tool: the tool's name or a pattern of it.
    """

    action: Action
    pattern: str = "*"
    tool: str = "*"

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise UsageError(f"a rule cannot {self.action!r}", hint="It can allow, ask or deny")
        if not self.pattern.strip() or not self.words:
            raise UsageError("a rule of an approval policy is empty", hint="Say: git status*")

    @classmethod
    def of(cls, action: Action, text: str) -> Rule:
        """``git status*``, or with the tool: ``bash(git status*)``, ``ticket(*)``.

        Raises:
            UsageError: it is no rule.
        """
        found = _TOOL.fullmatch(text.strip())
        return cls(action, found[2], found[1]) if found else cls(action, text.strip())

    @property
    def words(self) -> tuple[str, ...]:
        """The pattern's words.

        Raises:
            UsageError: its quotes do not end.
        """
        try:
            return tuple(shlex.split(self.pattern))
        except ValueError as error:
            raise UsageError(
                f"the rule {self.pattern!r} cannot be read: {error}", hint="Close its quotes"
            ) from None

    def is_for(self, tool: str) -> bool:
        return fnmatchcase(tool, self.tool)

    def fits_exactly(self, simple: Simple) -> bool:
        """For ``allow``: each word is known and has its pattern, and none is left over.

        More words may follow where the pattern is ``*`` or its last word ends with ``*`` and is
        no path. A ``*`` never leads out of a folder by ``..``.
        """
        words, patterns = simple.words, self.words
        last = patterns[-1]
        free = last == "*" or (last.endswith("*") and "/" not in last)
        if len(words) < len(patterns) - (last == "*") or (len(words) > len(patterns) and not free):
            return False
        for word, pattern in zip(words, patterns, strict=False):
            if not word.known and not (pattern == "*" and pattern is last):
                return False
            if not fnmatchcase(word.text, pattern):
                return False
            if ".." in word.text.split("/") and ".." not in pattern:
                return False
        return True

    def fits(self, simple: Simple) -> Fit:
        """For ``ask`` and ``deny``: the pattern's words occur in this order, others between them.

        Short options count in any spelling. ``maybe``, where it hangs on a word that is only known
        when it runs.
        """
        if not simple.words:
            return "no"
        name, *rest = self.words
        if simple.name and not (
            fnmatchcase(simple.name, name) or fnmatchcase(simple.name.rpartition("/")[2], name)
        ):
            return "no"
        found: Fit = "yes" if simple.name else "maybe"
        left = simple.words[1:]
        for pattern in rest:
            if pattern == "*" or (
                _OPTIONS.fullmatch(pattern) and set(pattern[1:]) <= _flags(simple)
            ):
                continue
            while left and left[0].known and not fnmatchcase(left[0].text, pattern):
                left = left[1:]
            if not left:
                return "no"
            if left[0].known:
                left = left[1:]
            else:
                found = "maybe"  # it may be several words: it stays for the next pattern
        return found


def _flags(simple: Simple) -> set[str]:
    """Letters of all short options, and first letters of long ones."""
    found: set[str] = set()
    for word in simple.words[1:]:
        if word.text.startswith("--"):
            found |= {word.text[2:3].lower(), word.text[2:3].upper()}
        elif word.text.startswith("-"):
            found |= set(word.text[1:])
    return found


@dataclass(frozen=True, slots=True)
class Policy:
    """What needs a yes.

    A ``deny`` rule wins over everything, an ``ask`` rule over ``allow``; a call that may fit one of
    them, but nobody can tell before it runs, is asked. Where no rule speaks and the callback has no
    opinion, the mode decides.
    """

    mode: Approval = "ask"
    """``auto`` lets every call run; ``ask`` asks before each that may change something;
    ``read-only`` refuses those. What provably only reads runs in all of them."""
    rules: tuple[Rule, ...] = ()
    decide: Decide | None = None
    """Asked after the rules, unless one denies; its word counts more than ``ask`` and ``allow``."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Approval):
            raise UsageError(
                f"there is no approval mode {self.mode!r}", hint="Choose auto, ask or read-only"
            )
        if len(self.rules) > _MOST_RULES:
            raise UsageError(f"an approval policy may have {_MOST_RULES} rules")

    @classmethod
    def of(cls, given: Approval | Policy | Decide) -> Policy:
        """From what ``Agent(approval=…)`` takes.

        Raises:
            UsageError: it is none of those.
        """
        if isinstance(given, Policy):
            return given
        if isinstance(given, str):
            return cls(cast("Approval", given))
        if callable(given):
            return cls("ask", decide=given)
        raise UsageError(
            f"approval cannot be {given!r}",
            hint="Give auto, ask, read-only, a Policy or a callback",
        )

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str = "the approval policy") -> Policy:
        """From ``default``, ``allow``, ``ask`` and ``deny``, as a TOML file has them.

        Raises:
            UsageError: another key, or a value that is no rule.
        """
        unknown = table.keys() - {"default", *get_args(Action)}
        if unknown:
            raise UsageError(
                f"{where}: unknown key {min(unknown)!r}",
                hint="Known: default, allow, ask, deny",
            )
        rules: list[Rule] = []
        for action in get_args(Action):
            given = table.get(action, [])
            texts = cast("Sequence[object]", given) if isinstance(given, list | tuple) else [None]
            for text in texts:
                if not isinstance(text, str):
                    raise UsageError(f"{where}: {action!r} must be a list of texts")
                rules.append(Rule.of(action, text))
        return cls(table.get("default", "ask"), tuple(rules))

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """From a TOML file.

        Raises:
            UsageError: it cannot be read, or is no policy.
        """
        try:
            table = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"the approval policy {path} cannot be read: {error}") from None
        return cls.from_table(table, str(path))

    def table(self) -> dict[str, Any]:
        """The same as ``from_table`` takes it; a callback is left out."""
        rules = {
            action: [_written(rule) for rule in self.rules if rule.action == action]
            for action in get_args(Action)
        }
        return {"default": self.mode, **{action: each for action, each in rules.items() if each}}

    def describe(self) -> str:
        """One line for people."""
        counts = [
            f"{count} {action}" for action in get_args(Action)
            if (count := sum(rule.action == action for rule in self.rules))
        ]  # fmt: skip
        return f"{self.mode}, rules: {', '.join(counts)}" if counts else self.mode


def _written(rule: Rule) -> str:
    return rule.pattern if rule.tool == "*" else f"{rule.tool}({rule.pattern})"
