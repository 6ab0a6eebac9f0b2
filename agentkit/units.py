"""What the provider should have in its cache of one lane, by our own model of its rules.

DeepSeek stores a unit, a whole prefix, at the end of each request's input and of each answer, and
serves the longest unit that a prompt starts with, in multiples of 128 tokens (api-docs kv_cache
guide, 2026-11; every recorded hit is such a multiple, pydantic-ai's recordings, 2026-08). So an
append-only lane knows beforehand what must hit. What did not hit although it was stored is the
provider's miss (best effort: it may forget, and takes seconds to build); what could not hit
because a prefix was broken is ours.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from agentkit.models.types import Usage

UNIT = 128
"""Tokens."""
_PLAUSIBLE = 4
"""A count that differs by more than this factor from our own estimate is nonsense."""


def whole_units(tokens: int) -> int:
    """So many tokens, rounded down to whole units."""
    return tokens // UNIT * UNIT


def plausible(usage: Usage, estimate: int) -> bool:
    """Whether a provider's count can be that of a prompt of about so many tokens."""
    if not usage.reported or not usage.prompt_tokens:
        return False
    slack = 1_000  # what a provider adds of its own matters in short prompts only
    low, high = estimate // _PLAUSIBLE - slack, estimate * _PLAUSIBLE + slack
    return low <= usage.prompt_tokens <= high


class Units:
    """The units of one lane: at which size in bytes, after how many tokens."""

    __slots__ = ("_likely", "_sizes", "_sure")

    def __init__(self) -> None:
        self._sizes = array("q")  # ascending, as a history only grows
        self._sure = array("q")  # the most tokens up to there that must hit,
        self._likely = array("q")  # and that should

    def store(self, size: int, tokens: int, *, sure: bool) -> None:
        """A unit ends behind so many bytes of the history.

        Args:
            sure: the end of an input. An answer, when it is read again, may be cut into other
                tokens than it was written in (nested JSON, numbers), and then its unit misses.
        """
        before = self._at(size)
        self._sizes.append(size)
        self._sure.append(max(before[0], tokens if sure else 0))
        self._likely.append(max(before[1], tokens))

    def _at(self, size: int) -> tuple[int, int]:
        index = bisect_right(self._sizes, size) - 1
        return (self._sure[index], self._likely[index]) if index >= 0 else (0, 0)

    def expected(self, size: int) -> tuple[int, int]:
        """Tokens that a request with so many bytes of the history reads from the cache.

        Returns:
            What must hit, and what should where the last answer's own unit hits too.
        """
        sure, likely = self._at(size)
        return whole_units(sure), whole_units(likely)

    def inherit(self, other: Units, upto: int) -> None:
        """Take over the units within so many bytes of a history that is the same up to there."""
        count = bisect_right(other._sizes, upto)
        self._sizes.extend(other._sizes[:count])
        self._sure.extend(other._sure[:count])
        self._likely.extend(other._likely[:count])

    def drop(self, size: int) -> None:
        """The unit that ends behind so many bytes, the last, will not be hit by this history."""
        while self._sizes and self._sizes[-1] >= size:
            for each in (self._sizes, self._sure, self._likely):
                each.pop()

    def forget(self) -> None:
        """Another prefix: nothing of it is stored."""
        del self._sizes[:], self._sure[:], self._likely[:]
