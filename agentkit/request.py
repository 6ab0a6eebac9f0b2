"""Ask the model once: retries, cut answers and money, each step an event in the log."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from agentkit.errors import ModelError, UnusableAnswer
from agentkit.events import (
    ModelAdvised,
    ModelChanged,
    ModelDelta,
    ModelFailed,
    ModelRequested,
    ModelResponded,
)
from agentkit.guard import admit
from agentkit.models.tokens import estimate_tokens
from agentkit.models.types import Answer, Delta, DeltaCallback, Usage

if TYPE_CHECKING:
    from agentkit.run import Run

MAX_CUTS = 3
"""How often a cut answer is asked for again, each time with twice the limit."""
IDLE = 300.0
"""Seconds of silence in a stream after which it counts as stalled; keep-alives are no silence."""
SILENCE = 1_200.0
"""The same for an answer in one piece: keep-alive lines are documented for it, but one live
measurement saw none in 60 s (2026-10), so silence means less."""
SHORTEST = 1_024
"""Tokens of answer below which a request is not worth its input."""


async def ask(run: Run) -> ModelResponded:
    """Send the lane's history and log the answer, which then is part of the history.

    The same bytes are sent again after a transient fault, within the retry policy's waiting
    budget and the deadline. Only where the limits, at the price of the hour, no longer allow so
    long an answer is that lowered, which does not reach the prompt. An answer that was cut in the
    middle of a call, or before it said anything, is not taken into the history but asked for
    again with a larger limit: the second request is served from the cache.

    Raises:
        LimitReached: the request's worst case does not fit the money or tokens left, or another
            limit is reached.
        ModelError: the provider gave no answer.
        UnusableAnswer: cut again and again.
    """
    max_tokens = run.lane.rung.max_tokens
    if run.wants_room:
        max_tokens, run.wants_room = _larger(run, max_tokens), False
    for _ in range(MAX_CUTS):
        started = time.monotonic()
        answer = await _in_turn(run, max_tokens)
        if not _is_cut(answer):
            _note_change(run, answer)
            return run.append(_responded(run, answer, time.monotonic() - started))
        max_tokens = _log_cut(run, answer, max_tokens)
    raise UnusableAnswer(
        f"the answer was cut at its limit {MAX_CUTS} times",
        hint="Give the rung a larger max_tokens, or a smaller task",
    )


async def _in_turn(run: Run, max_tokens: int) -> Answer:
    """Of forks that start together one asks first, and the others find its prefix stored."""
    if run.fan is None:
        return await _with_retries(run, max_tokens)
    async with run.fan.turn():
        answer = await _with_retries(run, max_tokens)
    run.fan = None
    return answer


async def ask_aside(
    run: Run, text: str, max_tokens: int, *, upto: int | None = None
) -> ModelAdvised:
    """Ask one thing behind the history; neither question nor answer enters it.

    Args:
        upto: ask behind so many bytes of the history only.

    Raises:
        LimitReached, ModelError: as ``ask``.
    """
    answer = await _with_retries(run, max_tokens, trailing=text, upto=upto)
    price = run.catalogue.price(run.lane.rung.model, datetime.now(UTC))
    expected, missed = _hits(run, answer.usage, upto)
    return run.append(
        ModelAdvised(
            content=answer.content,
            usage=answer.usage,
            cost_usd=_cost(run, answer),
            priced=price is not None and answer.usage.reported,
            served_model=answer.served_model,
            expected_hits=expected,
            missed=missed,
        )
    )


async def _with_retries(
    run: Run, max_tokens: int, *, trailing: str = "", upto: int | None = None
) -> Answer:
    waited = 0.0
    attempt = 0
    limit = max_tokens
    stream = run.watched  # nobody watches: one JSON body costs a hundredth of the CPU
    while True:
        attempt += 1
        run.budget.check()
        admit(run)
        limit = _affordable(run, limit)  # the same bytes, unless they can no longer be paid
        tokens = run.state.prompt_tokens(run.lane_name) + limit
        # Reserved before anything is awaited: lanes side by side must not count on the same money.
        with run.budget.reserve(_worst_case(run, limit), tokens):
            try:
                return await _send(run, limit, attempt, stream, trailing, upto)
            except ModelError as error:
                wait = run.retry.wait(error, attempt, waited, _JITTER)
                _log_failure(run, error, attempt, wait)
                await run.log.commit()
                if wait is None:
                    raise
        await anyio.sleep(wait)
        waited += wait


async def _send(
    run: Run, limit: int, attempt: int, stream: bool, trailing: str, upto: int | None
) -> Answer:
    """Send the history once; the request is durable in the log before it leaves."""
    body = run.lane.body(max_tokens=limit, stream=stream, trailing=trailing, upto=upto)
    run.append(
        ModelRequested(
            model=run.lane.rung.model,
            attempt=attempt,
            size=len(body),
            prefix=run.lane.prefix,
            max_tokens=limit,
            trailing=trailing,
            upto=upto,
            estimate=_estimate(run, trailing) if upto is None else 0,
        )
    )
    await run.log.commit()
    endpoint = run.endpoint
    with run.log.during(run.lane_name, address=endpoint.base_url) as headers:
        return await endpoint.ask(
            body,
            stream=stream,
            on_delta=_shower(run) if stream else None,
            idle_timeout=IDLE if stream else SILENCE,
            headers=headers,
        )


_JITTER = random.Random()


def _estimate(run: Run, trailing: str) -> int:
    return run.state.prompt_tokens(run.lane_name) + estimate_tokens(trailing)


def _hits(run: Run, usage: Usage, upto: int | None = None) -> tuple[int | None, int]:
    """What should have hit by our model of the provider's cache, and what of that had to."""
    if run.lane.rung.speaks != "deepseek" or not usage.reported:
        return None, 0
    sure, likely = run.lane.units.expected(run.lane.size if upto is None else upto)
    return min(likely, usage.prompt_tokens), max(
        0, min(sure, usage.prompt_tokens) - usage.hit_tokens
    )


def _affordable(run: Run, max_tokens: int) -> int:
    """The answer's limit, lowered to what the window has room for and the limits leave.

    Raises:
        LimitReached: there is not even room for a short answer.
    """
    rung, now = run.lane.rung, datetime.now(UTC)
    facts = run.catalogue.model(rung.model)
    prompt = run.state.prompt_tokens(run.lane_name)
    if facts.max_output:
        max_tokens = min(max_tokens, facts.max_output)
    if facts.known:  # DeepSeek answers 400 to prompt + limit beyond the window (recipe 0.2.0)
        max_tokens = min(max_tokens, max(SHORTEST, facts.context - int(prompt * 1.05)))
    least, share = min(SHORTEST, max_tokens), 4 if run.depth else 1
    # Of lanes that work side by side none may reserve all that is left.
    price, usd = run.catalogue.price(rung.model, now), run.budget.usd_left
    if usd is not None and price is not None and price.output:
        payable = int((usd - _worst_case(run, 0)) / share * 1e6 / price.output)
        if payable < least:
            raise run.budget.too_little("money")
        max_tokens = min(max_tokens, payable)
    tokens = run.budget.tokens_left
    if tokens is not None:
        room = (tokens - prompt) // share
        if room < least:
            raise run.budget.too_little("tokens")
        max_tokens = min(max_tokens, room)
    return max_tokens


def _worst_case(run: Run, max_tokens: int) -> float:
    """US dollars of the lane's next request, if the answer uses its whole limit."""
    cached = run.state.last_usage.get(run.lane_name)
    prompt = run.state.prompt_tokens(run.lane_name)
    known = min(prompt, cached.prompt_tokens) if cached else 0
    now = datetime.now(UTC)
    return run.catalogue.worst_case(run.lane.rung.model, now, prompt, max_tokens, known)


def _is_cut(answer: Answer) -> bool:
    """Cut in a call (which must never run), or before any text for the reader."""
    return answer.finish_reason == "length" and (bool(answer.calls) or not answer.content.strip())


def _larger(run: Run, max_tokens: int) -> int:
    most = run.catalogue.model(run.lane.rung.model).max_output
    return min(max_tokens * 2, most) if most else max_tokens * 2


def _note_change(run: Run, answer: Answer) -> None:
    """Log that another model, or another build of it, answers than before under this name."""
    model = run.lane.rung.model
    now = (answer.served_model, answer.fingerprint)
    before = run.state.served.get(model, now)
    if answer.served_model and before != now:
        run.append(
            ModelChanged(
                model=model,
                served_before=before[0],
                served_now=now[0],
                fingerprint_before=before[1],
                fingerprint_now=now[1],
            )
        )


def _log_cut(run: Run, answer: Answer, max_tokens: int) -> int:
    larger = _larger(run, max_tokens)
    run.append(
        ModelFailed(
            error="AnswerCut",
            message=f"the answer was cut at {max_tokens} tokens; asking again with {larger}",
            attempt=1,
            wait=0.0,
            usage=answer.usage,
            cost_usd=_cost(run, answer),
        )
    )
    return larger


def _log_failure(run: Run, error: ModelError, attempt: int, wait: float | None) -> None:
    run.append(
        ModelFailed(
            error=type(error).__name__,
            message=str(error),
            attempt=attempt,
            wait=None if wait is None else round(wait, 3),
            status=error.status,
        )
    )


def _responded(run: Run, answer: Answer, duration: float) -> ModelResponded:
    rung = run.lane.rung
    price = run.catalogue.price(rung.model, datetime.now(UTC))
    expected, missed = _hits(run, answer.usage)
    return ModelResponded(
        content=answer.content,
        reasoning=answer.reasoning,
        calls=answer.calls,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        cost_usd=_cost(run, answer),
        priced=price is not None and answer.usage.reported,
        model=rung.model,
        served_model=answer.served_model,
        fingerprint=answer.fingerprint,
        request_id=answer.request_id,
        duration=round(duration, 4),
        notes=answer.notes,
        expected_hits=expected,
        missed=missed,
    )


def _cost(run: Run, answer: Answer) -> float:
    return run.catalogue.cost(answer.usage, run.lane.rung.model, datetime.now(UTC))


def _shower(run: Run) -> DeltaCallback:
    def show(delta: Delta) -> None:
        run.log.show(ModelDelta(lane=run.lane_name, kind=delta.kind, text=delta.text))

    return show
