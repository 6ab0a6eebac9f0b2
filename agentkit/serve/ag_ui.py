"""The AG-UI protocol over HTTP: a run as its front ends ask for it, and a session to look at.

A front end sends the whole conversation and reads the run's events from the answer. The session is
the thread, and its log is the conversation: of what is sent only the user's last words are taken.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio import to_thread
from sse_starlette import ServerSentEvent

from agentkit.events import Event, Message, from_dict
from agentkit.log import read
from agentkit.serve import bodies
from agentkit.serve.agents import Opening
from agentkit.serve.feeds import Frame, Until, follow
from agentkit.serve.job import Job
from agentkit.serve.problems import Problem
from agentkit.serve.supervisor import Supervisor
from agentkit.serve.wishes import Wish
from agentkit.stores import Store

if TYPE_CHECKING:
    from ag_ui.core import BaseEvent

    from agentkit.ag_ui import Adapter

MOST_WORDS = 1_000_000
TIDYING = 30.0
"""Seconds that the next run waits at most for the end of the last one's sandbox."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A run that was asked for."""

    adapter: Adapter
    session_id: str
    run_id: str
    after: int
    """The last event of the session that is told by its state alone."""
    ignored: tuple[str, ...] = ()
    """Tools of the front end: the session's own are fixed when it begins."""


async def begin(supervisor: Supervisor, body: bodies.AgUiInput, opening: Opening) -> Talk:
    """Take in what the front end wants; on return it is durable.

    Raises:
        Problem, AgentkitError: it is not taken in.
    """
    await _ended(supervisor, opening.session_id)
    adapter, after, told = await to_thread.run_sync(
        _before, supervisor.store, opening.session_id, opening.started is not None
    )
    adapter.echo = False
    if body.resume:
        await _answer(supervisor, opening, adapter, body.resume)
    else:
        words = _words(body, told)
        await supervisor.submit(Job(opening, words))
    ignored = tuple(each.name for each in body.tools or ())
    return Talk(adapter, opening.session_id, body.run_id, after, ignored)


async def _ended(supervisor: Supervisor, session_id: str) -> None:
    """Wait while a run that has ended, as its client was told, is tidied up."""
    with supervisor.hub.feed(session_id) as feed, anyio.move_on_after(TIDYING):
        while (job := supervisor.jobs.get(session_id)) is not None:
            if not job.running or job.session is None or job.session.state.finished is None:
                return
            await feed.take()


async def follow_run(supervisor: Supervisor, talk: Talk) -> AsyncGenerator[ServerSentEvent]:
    """The run's events, from its beginning to its end, or to where somebody's yes is needed."""
    from ag_ui.core import CustomEvent

    adapter = talk.adapter
    given = adapter.begin(talk.run_id)
    if talk.ignored:
        given.append(CustomEvent(name="agentkit.ignored", value={"tools": list(talk.ignored)}))
    for each in given:
        yield _frame(each)
    async with aclosing(_events(supervisor, talk.session_id, talk.after, "finished")) as events:
        async for event in events:
            for each in adapter.take(event):
                yield _frame(each)
            if not adapter.is_open:
                return
    for each in adapter.abort("the run was stopped; its session can be gone on with", "stopped"):
        yield _frame(each)


async def observe(
    supervisor: Supervisor, session_id: str, until: Until, deltas: bool
) -> AsyncGenerator[ServerSentEvent]:
    """All of a session's runs. Without ids: the protocol's streams begin with a run's beginning."""
    adapter = _library().Adapter(session_id)
    events = _events(supervisor, session_id, 0, until, deltas=deltas)
    async with aclosing(events):
        async for event in events:
            for each in adapter.take(event):
                yield _frame(each)
    if until:
        for each in adapter.abort("nothing more is known of this run", "unfinished"):
            yield _frame(each)


async def _events(
    supervisor: Supervisor, session_id: str, after: int, until: Until, *, deltas: bool = True
) -> AsyncGenerator[Event]:
    with supervisor.hub.feed(session_id) as feed:
        found = follow(
            supervisor.store,
            feed,
            session_id,
            after,
            until=until,
            deltas=deltas,
            busy=lambda: session_id in supervisor.jobs,
        )
        async with aclosing(found):
            async for frame in found:
                if (event := _event(frame)) is not None:
                    yield event


def _event(frame: Frame) -> Event | None:
    """The event; None for one of a later version."""
    try:
        return from_dict(json.loads(frame.data))
    except ValueError:
        return None


def _frame(event: BaseEvent) -> ServerSentEvent:
    return ServerSentEvent(event.model_dump_json(by_alias=True), sep="\n")


def _library() -> Any:
    """The adapter's module.

    Raises:
        Problem: its package is not installed.
    """
    try:
        from agentkit import ag_ui
    except ImportError as error:
        raise Problem(
            501,
            "the AG-UI protocol needs a package that is not installed here",
            hint="pip install 'agentkit-deepseek[ag-ui]'",
        ) from error
    return ag_ui


def _before(store: Store, session_id: str, known: bool) -> tuple[Adapter, int, list[str]]:
    """The adapter as far as the session has come, and what the user has said. Blocks."""
    adapter: Adapter = _library().Adapter(session_id)
    events = read(store, session_id) if known else []
    for event in events:
        adapter.take(event)
    adapter.abort("", "")  # a run that was cut off, or waits for an answer
    told = [each.text for each in events if isinstance(each, Message) and each.source == "user"]
    return adapter, len(events), told


def _words(body: bodies.AgUiInput, told: Sequence[str]) -> str:
    """What the user said last, with what the front end wants known, where that is new.

    Raises:
        Problem: nothing, or too much.
    """
    last: list[str] = []
    for message in reversed(body.messages):
        if message.role != "user":
            break
        last.insert(0, _text(message.content))
    words = "\n\n".join(each for each in last if each.strip())
    if not words:
        raise Problem(
            409,
            "messages: there is nothing new of the user",
            hint="The last message must be the user's, or give `resume`",
        )
    context = "\n".join(f"{each.description}: {each.value}" for each in body.context or ())
    if context and not any(context in each for each in told):
        words = f"{words}\n\n[Context]\n{context}"
    if len(words) > MOST_WORDS:
        raise Problem(413, f"messages: more than {MOST_WORDS:,} characters")
    return words


def _text(content: Any) -> str:
    """The words of a message; what cannot be read is named in its place."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(map(_part, cast("list[dict[str, Any]]", content)))


def _part(part: dict[str, Any]) -> str:
    text = part.get("text") or ""
    if part.get("type") == "text" and isinstance(text, str):
        return text
    return f"[{str(part.get('type'))[:40]} left out: only text can be read]"


async def _answer(
    supervisor: Supervisor, opening: Opening, adapter: Adapter, entries: Sequence[bodies.AgUiResume]
) -> None:
    """Give the answers; the run goes on with the last one.

    Raises:
        Problem, AgentkitError: no such question, or it was answered already.
    """
    session_id, store = opening.session_id, supervisor.store
    for call, (allow, reason) in _answers(adapter, entries).items():
        info = await to_thread.run_sync(store.info, session_id)
        if info is not None and (session_id in supervisor.jobs or info.owner):
            data = {"call": call, "allow": allow, "reason": reason}
            await supervisor.tell(info, Wish("answer", data))
        else:
            await supervisor.answer(opening, call, allow, reason)
    info = await to_thread.run_sync(store.info, session_id)
    if info is not None and session_id not in supervisor.jobs and not info.owner:
        await supervisor.submit(Job(opening, ""))


def _answers(adapter: Adapter, entries: Sequence[bodies.AgUiResume]) -> dict[str, tuple[bool, str]]:
    """Each call's answer. All are looked at before the first is given, as none can be taken back.

    Raises:
        Problem: no such question, two answers to one, or none that can be read.
    """
    open_ = {str(each["id"]) for each in adapter.state["questions"]}
    found: dict[str, tuple[bool, str]] = {}
    for entry in entries:
        call = entry.interrupt_id
        if call not in open_:
            raise Problem(409, f"nothing waits for the answer {call!r}")
        if call in found:
            raise Problem(422, f"resume: two answers to {call!r}")
        found[call] = _yes_or_no(entry)
    return found


def _yes_or_no(entry: bodies.AgUiResume) -> tuple[bool, str]:
    """An answer as ``agentkit.ag_ui.ANSWER`` has it, or simply true or false."""
    if entry.status == "cancelled":
        return False, ""
    if isinstance(entry.payload, bool):
        return entry.payload, ""
    if entry.payload is None:
        raise Problem(422, "resume: the payload must be {'allow': true or false, 'reason': '…'}")
    return entry.payload.allow, entry.payload.reason
