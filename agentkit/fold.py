"""Folding: when a history fills the window, a summary opens a new lane in its place.

The request for the summary is the history itself with one instruction behind it, so nearly all of
it is served from the provider's cache. The new lane begins with everything the user said, word
for word, the plan, the files that were seen, the last steps as they were, and the summary. What
was folded stays in the log; the ``recall`` tool, which only folded lanes have, reads it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentkit import facts
from agentkit.errors import ContextOverflow, UnusableAnswer
from agentkit.events import (
    Event,
    Fact,
    Folded,
    LaneOpened,
    Message,
    ModelResponded,
    Steered,
    ToolFinished,
)
from agentkit.models import wire
from agentkit.recall import recall_tool
from agentkit.request import ask_aside

if TYPE_CHECKING:
    from agentkit.run import Run

FULL = 0.9
"""Share of the window at which a history is folded. Below it nothing is: a cache hit costs a
fiftieth of a miss, and a live comparison without compaction took half the turns (dsc, 2026-08)."""
DOUBT = 0.3
"""Share of the estimated part of a count that the estimate may be off by. Where that much decides,
the vendor's tokenizer counts, if it is installed. It is too slow for every turn (0.65 MB/s)."""
SUMMARY_TOKENS = 8_192
MOST_FILES = 40
LAST_STEPS = 0.05
"""Share of the window that the last steps, word for word, may take in the new lane."""

INSTRUCTION = """\
[The context is nearly full. It will be replaced by a summary that you write now; what the user \
said, the plan and the last steps are kept word for word, so leave them out. Do not call a tool. \
Write for yourself, to go on without looking everything up again: what was found out and how it \
is known; what was changed, file by file, and why; what was tried and failed; commands, paths, \
names and values that matter; what is running; what is still to be done.]"""


def is_full(run: Run) -> bool:
    """Whether the lane's next request would pass nine tenths of the window."""
    model = run.catalogue.model(run.lane.rung.model)
    # Of a model that is not listed the window is unknown: its provider says when it is full.
    if not model.known:
        return False
    full = FULL * model.context
    tokens = run.state.prompt_tokens(run.lane_name)
    estimated = tokens - run.state.counted_tokens(run.lane_name)
    if abs(tokens - full) < DOUBT * estimated:
        tokens = run.state.prompt_tokens(run.lane_name, exact=True)
    # A lane that is full from its start is not helped by another fold.
    return tokens > full and len(run.lane.turns) >= 2


async def fold(run: Run) -> None:
    """Open a new lane in the place of the full one.

    A fold that fails leaves the old lane as it was: nothing is appended to it.

    Raises:
        ContextOverflow: even the history without its last steps does not fit.
        UnusableAnswer: the model gave no summary, twice.
        LimitReached, ModelError: as ``ask``.
    """
    events = await run.log.events()
    old = run.lane_name
    summary = await _summary(run)
    opened = run.state.opened[old]
    name = f"main-{len(run.state.lanes) + 1}"
    run.append(Folded(to=name, summary=summary, events=run.log.last_seq))
    run.lane_name = name
    run.tools = {**run.tools, "recall": recall_tool(run.log)}
    fresh = replace(opened, seq=None, time="", lane=name, replays="", upto=0)
    run.append(replace(fresh, tools=_with_recall(opened, run)))
    room = int(run.catalogue.model(run.lane.rung.model).context * LAST_STEPS * 4)  # characters
    steps = _last_steps(events, old, room)
    order = "" if opened.role == "main" else _order(events, old)
    text = packet(events, run.state.plan, summary, steps, order=order)
    run.append(Message(text=text, source="agentkit"))


async def _summary(run: Run) -> str:
    """Ask for the summary behind the history; where that no longer fits, behind less of it."""
    cuts: list[int | None] = [None, *reversed(run.lane.turns[-MAX_SHORTER:])]
    overflow: ContextOverflow | None = None
    for cut in cuts:
        for _ in range(2):
            try:
                answer = await ask_aside(run, INSTRUCTION, SUMMARY_TOKENS, upto=cut)
            except ContextOverflow as error:
                overflow = error
                break
            if answer.content.strip():
                return answer.content.strip()
        else:
            raise UnusableAnswer("the model gave no summary of a full history, twice")
    raise overflow or ContextOverflow("the history does not fit the window")


MAX_SHORTER = 3
"""How many of the last turns a summary may leave out; they are kept word for word."""


def _with_recall(opened: LaneOpened, run: Run) -> tuple[dict[str, Any], ...]:
    tool = run.tools["recall"]
    entry = wire.tool_entry(tool.name, tool.description, tool.parameters)
    others = [each for each in opened.tools if each["function"]["name"] != "recall"]
    return tuple(sorted([*others, entry], key=lambda each: each["function"]["name"]))


def _order(events: Sequence[Event], lane: str) -> str:
    """What a lane beside the session's own was opened to do: its first message, word for word."""
    for event in reversed(events):
        if isinstance(event, Folded) and event.to == lane:
            lane = event.lane  # it took the place of that one
    return next((e.text for e in events if isinstance(e, Message) and e.lane == lane), "")


def packet(
    events: Sequence[Event],
    plan: Sequence[dict[str, Any]],
    summary: str,
    last_steps: str,
    *,
    order: str = "",
) -> str:
    """The first message of the new lane.

    Args:
        order: what this lane is to do of the user's task, where that is not all of it.
    """
    said = [text for event in events if (text := _users_words(event))]
    parts = ["[The context was folded. This is what was kept of it.]"]
    parts += facts.kept(events)
    parts += [f"<user>\n{text}\n</user>" for text in said]
    if plan:
        steps = "\n".join(f"- [{step.get('status', '')}] {step.get('step', '')}" for step in plan)
        parts.append(f"<plan>\n{steps}\n</plan>")
    if files := _files(events):
        parts.append("<files-seen>\n" + "\n".join(files) + "\n</files-seen>")
    parts.append(f"<summary>\n{summary}\n</summary>")
    if last_steps:
        parts.append(f"<last-steps>\n{last_steps}\n</last-steps>")
    if order:
        parts.append(f"<order>\n{order}\n</order>")
    what = "this order, and nothing else" if order else "the task"
    parts.append(f"[Go on with {what}. `recall` reads back what was folded.]")
    return "\n\n".join(parts)


def _files(events: Sequence[Event]) -> list[str]:
    """Files that tools have shown or edited, the last one last."""
    seen: dict[str, str] = {}
    for event in events:
        if isinstance(event, Fact) and event.kind in ("observed", "edited"):
            path = str(event.data.get("path", ""))
            edited = event.kind == "edited" or seen.pop(path, "").endswith(" (edited)")
            seen.pop(path, None)
            seen[path] = f"{path} (edited)" if edited else path
    return list(seen.values())[-MOST_FILES:]


def _users_words(event: Event) -> str:
    match event:
        case Steered() | Message(source="user"):
            return event.text
        case _:
            return ""


def _last_steps(events: Sequence[Event], lane: str, room: int) -> str:
    """The lane's last answers and results, newest last, in so many characters at most."""
    steps: list[str] = []
    for event in reversed(events):
        text = _step(event) if event.lane == lane else ""
        if not text:
            continue
        room -= len(text)
        if room < 0:
            break
        steps.append(text)
    return "\n\n".join(reversed(steps))


def _step(event: Event) -> str:
    if isinstance(event, ModelResponded):
        calls = "\n".join(f"call {call.name} {call.arguments}" for call in event.calls)
        return "\n".join(part for part in (event.content, calls) if part)
    if isinstance(event, ToolFinished):
        return f"result of {event.tool}:\n{event.content}"
    return ""
