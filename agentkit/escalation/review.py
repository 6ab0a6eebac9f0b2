"""Judge a statement by a separate, short request: the diff and the evidence, no tools.

The reviewer is the rung that works, asked on a lane of its own: it has not seen the reasoning
that led to the work, and its head is the same for all reviews, so the second one starts warm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentkit.errors import LimitReached, ModelError, UnusableAnswer
from agentkit.escalation import packets
from agentkit.escalation.lanes import new_name, open_apart, refuse_calls
from agentkit.events import Message
from agentkit.events.work import STATEMENT
from agentkit.request import ask

if TYPE_CHECKING:
    from agentkit.run import Run

MAX_TOKENS = 16_384
"""Of a verdict, reasoning included."""

REVIEWER = """\
You review work that somebody else did in a repository. You get the task, one statement, what \
changed as a diff, and what commands said. Judge only whether the statement holds for the work as \
it is now; what is not shown cannot be assumed. The first word of your answer is YES if it holds \
and NO if it does not or cannot be seen. After it, in at most five lines, why; after NO, what \
would have to change."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reviewer said."""

    holds: bool | None
    """None: nobody could judge it."""
    why: str


async def review(run: Run, check: str) -> Verdict:
    """Ask a reviewer; a verdict that is neither YES nor NO is asked for once more.

    Raises:
        LimitReached: the money does not reach for it.
    """
    statement = check.lstrip()[len(STATEMENT) :].strip()
    rung = replace(run.lane.rung, max_tokens=min(run.lane.rung.max_tokens, MAX_TOKENS))
    reviewer = open_apart(run, new_name(run, "review"), rung, REVIEWER, role="review")
    words = await packets.for_review(run, statement)
    for text in (words, "Begin with YES or NO."):
        refuse_calls(reviewer)
        reviewer.append(Message(text=text, source="agentkit"))
        try:
            answer = await ask(reviewer)
        except LimitReached:
            raise
        except (ModelError, UnusableAnswer) as error:
            return Verdict(None, f"the reviewer could not be asked: {error}")
        first, _, rest = answer.content.strip().partition("\n")
        word = re.match(r"[ *#]*(yes|no)\b", first, re.IGNORECASE)
        if word:
            why = f"{first[word.end() :].strip(' :.,*-')}\n{rest}".strip()
            return Verdict(word[1].upper() == "YES", why or first)
    return Verdict(None, "the reviewer gave no verdict, twice")
