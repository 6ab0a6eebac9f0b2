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

    __slots__ = ("_sizes", "_sure", "_tokens")

    def __init__(self) -> None:
        self._sizes = array("q")
        self._tokens = array("q")
        self._sure = bytearray()

    def store(self, size: int, tokens: int, *, sure: bool) -> None:
        """A unit ends behind so many bytes of the history.

        Args:
            sure: the end of an input. An answer, when it is read again, may be cut into other
                tokens than it was written in (nested JSON, numbers), and then its unit misses.
        """
        self._sizes.append(size)
        self._tokens.append(tokens)
        self._sure.append(sure)

    def expected(self, size: int) -> tuple[int, int]:
        """Tokens that a request with so many bytes of the history reads from the cache.

        Returns:
            What must hit, and what should where the last answer's own unit hits too.
        """
        sure = likely = 0
        for end, tokens, certain in zip(self._sizes, self._tokens, self._sure, strict=True):
            if end <= size:
                likely = max(likely, tokens)
                sure = max(sure, tokens if certain else 0)
        return whole_units(sure), whole_units(likely)

    def inherit(self, other: Units, upto: int) -> None:
        """Take over the units within so many bytes of a history that is the same up to there."""
        for end, tokens, certain in zip(other._sizes, other._tokens, other._sure, strict=True):
            if end <= upto:
                self.store(end, tokens, sure=bool(certain))

    def drop(self, size: int) -> None:
        """The unit that ends behind so many bytes will not be hit by this history."""
        kept = [index for index, end in enumerate(self._sizes) if end != size]
        self._sizes = array("q", [self._sizes[index] for index in kept])
        self._tokens = array("q", [self._tokens[index] for index in kept])
        self._sure = bytearray(self._sure[index] for index in kept)

    def forget(self) -> None:
        """Another prefix: nothing of it is stored."""
        del self._sizes[:], self._tokens[:], self._sure[:]
