"""What can be said to a run, here or in another process on the same store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import anyio
from anyio import to_thread

from agentkit.errors import AgentkitError
from agentkit.serve.bodies import State
from agentkit.serve.feeds import Hub
from agentkit.serve.job import Job
from agentkit.serve.pending import SAID
from agentkit.serve.problems import Problem, log, of_error
from agentkit.stores import Store
from agentkit.stores.post import Letter, Post

PATIENCE = 10.0
"""Seconds that the process which works on a session has to do what a letter says."""
LOOK = 0.5
"""Seconds between two looks for a reply of which no notice came."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A word in mid-run, a stop, or an answer to a question."""

    kind: Literal["steer", "cancel", "answer"]
    data: dict[str, Any] = field(default_factory=dict[str, Any])


async def carry_out(job: Job, wish: Wish) -> State:
    """Do it in this process, which has the session.

    Raises:
        Problem: it does not fit the run's present state.
        UsageError: what is said is longer than the model's window.
    """
    if not job.has_work:
        raise Problem(409, "the session is not at work")
    if wish.kind == "cancel":
        job.cancel()
    elif wish.kind == "answer":
        await job.settled.wait()
        if job.session is None:
            raise Problem(409, "the session is not at work")
        await job.session.approve(wish.data["call"], wish.data["allow"], wish.data["reason"])
    else:
        if not job.running or job.session is None:
            raise Problem(409, "the run has not begun yet", hint="Wait for `run.started`")
        if not job.session.listens:
            raise Problem(409, "the run is ending", hint="Send it as a message")
        await job.session.steer(wish.data["text"])
        # Before the model can have read it: the loop has had no turn since the line above.
        await job.session.record(SAID, {"text": wish.data["text"]})
    return job.state


class Relay:
    """Sends wishes to the process that has the session, and does those that others send here.

    Args:
        find: the job of a session that this process works on.
    """

    def __init__(self, store: Store, hub: Hub, find: Callable[[str], Job | None]) -> None:
        self._store = store
        self._hub = hub
        self._find = find

    async def send(self, session_id: str, wish: Wish) -> State:
        """Have another process do it; what it says to that is the answer.

        Raises:
            Problem: as there, or it was not done, or it may have been done.
        """
        post = self._store
        if not isinstance(post, Post):
            raise Problem(409, "another process works on this session", hint="Ask it there")
        text = json.dumps({"kind": wish.kind, "data": wish.data})
        with self._hub.feed(session_id) as feed:
            letter_id, letter = await to_thread.run_sync(post.send, session_id, text), None
            try:
                with anyio.move_on_after(PATIENCE):
                    while not await self._is_answered(post, session_id, letter_id):
                        with anyio.move_on_after(LOOK):
                            await feed.take()
            finally:
                with anyio.CancelScope(shield=True):
                    letter = await to_thread.run_sync(post.withdraw, letter_id)
        return _outcome(letter)

    async def _is_answered(self, post: Post, session_id: str, letter_id: str) -> bool:
        """Whether the letter has a reply, or nobody is there any more to take it."""
        letter = await to_thread.run_sync(post.letter, letter_id)
        if letter is None or letter.reply:
            return True
        info = await to_thread.run_sync(self._store.info, session_id)
        return not letter.taken and (info is None or not info.owner)

    async def read(self, session_id: str) -> None:
        """Do what letters to this process say."""
        post, job = self._store, self._find(session_id)
        if job is None or not isinstance(post, Post):
            return
        try:
            for letter in await to_thread.run_sync(post.take, session_id):
                reply = json.dumps(await _done(job, letter))
                await to_thread.run_sync(post.reply, session_id, letter.id, reply)
        except AgentkitError as error:
            log.warning("letters.not_read", session=session_id, error=str(error))


async def _done(job: Job, letter: Letter) -> dict[str, Any]:
    """Do what it says; the reply."""
    wish = Wish(**json.loads(letter.text))
    try:
        return {"state": await carry_out(job, wish)}
    except (AgentkitError, Problem) as error:
        problem = of_error(error) if isinstance(error, AgentkitError) else error
        return {"status": problem.status_code, "detail": problem.detail, "hint": problem.hint}


def _outcome(letter: Letter | None) -> State:
    if letter is not None and letter.reply:
        reply: dict[str, Any] = json.loads(letter.reply)
        if "state" in reply:
            return cast("State", reply["state"])
        raise Problem(reply["status"], reply["detail"], hint=reply["hint"])
    later = {"Retry-After": "5"}
    if letter is not None and not letter.taken:
        raise Problem(
            503, "the process that works on this session did not take it; not done", headers=later
        )
    raise Problem(
        503,
        "the process that works on this session did not say what became of it",
        hint="The session's events tell whether it was done",
        headers=later,
    )
