"""The fake provider without its HTTP: what a request is answered, charged and blamed for."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from agentkit.models.catalogue import Catalogue
from agentkit.models.types import Usage
from agentkit.testing import rules
from agentkit.testing._answer import Completion, call_id
from agentkit.testing.cache import Approximate, Cache, Renderer, tokens_of
from agentkit.testing.faults import BALANCE_429, UNBILLED, Fault, HttpFault, schedule
from agentkit.testing.script import Reply, Script, ScriptExhausted, ScriptLike
from agentkit.testing.vendor import Exact, VendorRefused, can_count

_PLENTY = 110.0
"""US dollars in an account that has no limit."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One completion request that reached the server."""

    number: int
    """From 1, over the whole server."""
    raw: bytes
    """The body as it came; empty when the server keeps none."""
    status: int = 200
    fault: str = ""
    usage: Usage = field(default_factory=lambda: Usage(reported=False))
    cost_usd: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """As they came, names in lower case, without the key."""

    @property
    def body(self) -> dict[str, Any]:
        """The request as an object, parsed anew each time."""
        return json.loads(self.raw)


@dataclass(slots=True)
class Bill:
    """What the provider would have charged, request by request."""

    entries: list[tuple[datetime, str, Usage, float]] = field(
        default_factory=list[tuple[datetime, str, Usage, float]]
    )
    """Time, model, usage, US dollars."""

    @property
    def usd(self) -> float:
        """US dollars; exact to the last digit whatever the order of the requests."""
        return math.fsum(cost for *_, cost in self.entries)

    @property
    def usage(self) -> Usage:
        total = Usage()
        for _, _, usage, _ in self.entries:
            total += usage
        return total


class Refused(Exception):
    """The request gets an HTTP answer of its own instead of a completion."""

    def __init__(self, answer: HttpFault) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Provider:
    """Answers requests by the script and the rules; see ``FakeDeepSeek`` for the arguments."""

    def __init__(
        self,
        script: ScriptLike,
        *,
        faults: Mapping[int, str] | str | None,
        per_conversation: bool,
        balance: float | None,
        concurrency: int | None,
        keep: bool,
        exact: bool | None,
        clock: Callable[[], datetime] | None,
        catalogue: Catalogue | None,
    ) -> None:
        self.requests: list[Recorded] = []
        self.violations: list[str] = []
        self.bill = Bill()
        self._script = Script(script, per_conversation=per_conversation)
        self._faults = schedule(faults)
        self._balance = balance
        self._concurrency = concurrency
        self._keep = keep
        exactly = can_count() if exact is None else exact
        self._renderer: Renderer = Exact() if exactly else Approximate()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._catalogue = catalogue or Catalogue.load()
        self._cache = Cache()
        self._count = 0
        self._rng = random.Random(0)

    @property
    def money_left(self) -> float:
        """US dollars."""
        return _PLENTY if self._balance is None else max(0.0, self._balance - self.bill.usd)

    def complete(
        self, raw: bytes, in_flight: int, headers: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], Completion, Fault]:
        """Answer one completion request, and note it.

        Raises:
            Refused: with the HTTP answer it gets instead.
        """
        self._count += 1
        shown = {name: each for name, each in (headers or {}).items() if name != "authorization"}
        record = Recorded(self._count, raw if self._keep else b"", headers=shown)
        fault = self._faults.get(record.number, Fault(""))
        try:
            request = self._read(record, raw)
            self._admit(record, request, fault, in_flight)
            pieces = self._prompt(record, request)
            too_long = rules.overflow(request, tokens_of(sum(map(len, pieces))))
            if too_long:
                raise Refused(too_long)
            reply, fault = self._next(request, fault)
        except Refused as refused:
            status = refused.answer.status
            self.requests.append(replace(record, status=status, fault=fault.name))
            raise
        return request, self._answer(record, request, pieces, reply, fault), fault

    def fill_in(self, raw: bytes) -> dict[str, Any]:
        """Answer a fill-in-the-middle request from the script."""
        request = self._read(Recorded(self._count, raw), raw)
        reply, _ = self._next(request, Fault(""))
        prompt = str(request.get("prompt", "")) + str(request.get("suffix", ""))
        usage = {
            "prompt_tokens": tokens_of(len(prompt.encode())),
            "completion_tokens": tokens_of(len(reply.content.encode())),
        }
        choice = {"index": 0, "text": reply.content, "finish_reason": reply.finish}
        fields = {"id": "fim", "object": "text_completion", "model": request.get("model")}
        return {**fields, "choices": [choice], "usage": usage}

    def _read(self, record: Recorded, raw: bytes) -> dict[str, Any]:
        try:
            request: object = json.loads(raw)
            if isinstance(request, dict):
                return cast("dict[str, Any]", request)
            problem = "not an object"
        except ValueError as error:
            problem = str(error)
        self.violations.append(f"request {record.number}: {problem}")
        raise Refused(HttpFault(400, f"Failed to parse the request body as JSON: {problem}"))

    def _admit(
        self, record: Recorded, request: dict[str, Any], fault: Fault, in_flight: int
    ) -> None:
        name = f"request {record.number}"
        self.violations += [f"{name}: {odd}" for odd in rules.oddities(request)]
        if fault.http:
            raise Refused(fault.http)
        if self._concurrency is not None and in_flight > self._concurrency:
            text = BALANCE_429.format(now=in_flight, limit=self._concurrency)
            raise Refused(HttpFault(429, text, "rate_limit_error"))
        if not self.money_left:
            raise Refused(HttpFault(402, "Insufficient Balance", "unknown_error"))
        problem = rules.refusal(request)
        if problem:
            self.violations.append(f"{name}: {problem.message}")
            raise Refused(problem)

    def _prompt(self, record: Recorded, request: dict[str, Any]) -> Sequence[bytes]:
        try:
            return self._renderer.pieces(request)
        except VendorRefused as refused:  # what our own rules let pass
            self.violations.append(f"request {record.number}: {refused.answer.message}")
            raise Refused(refused.answer) from refused

    def _next(self, request: dict[str, Any], fault: Fault) -> tuple[Reply, Fault]:
        """The script's next reply; it counts as given unless the fault spoils it."""
        try:
            reply, given = self._script.reply(request)
        except ScriptExhausted as error:
            self.violations.append(str(error))
            raise Refused(HttpFault(400, f"FakeDeepSeek: {error}")) from error
        except Exception as error:
            self.violations.append(f"the script's function failed: {error!r}")
            raise Refused(HttpFault(400, f"FakeDeepSeek: the script failed: {error!r}")) from error
        if not fault.name and reply.fault:
            fault = Fault.parse(reply.fault)
            given()
            if fault.http:
                raise Refused(fault.http)
        elif not fault.name or fault.serves:
            given()
        return reply, fault

    def _answer(
        self,
        record: Recorded,
        request: dict[str, Any],
        pieces: Sequence[bytes],
        reply: Reply,
        fault: Fault,
    ) -> Completion:
        """Give the reply its ids and its bill, and note the request."""
        calls = [
            call if call.id else replace(call, id=call_id(index, self._rng))
            for index, call in enumerate(reply.calls)
        ]
        reply = fault.change(replace(reply, calls=calls))
        model = rules.ALIASES.get(str(request["model"]), str(request["model"]))
        usage = self._charge(model, request, pieces, reply)
        now = self._clock()
        cost = 0.0
        if fault.name not in UNBILLED:
            cost = self._catalogue.cost(usage, model, now)
            self.bill.entries.append((now, model, usage, cost))
        self.requests.append(replace(record, fault=fault.name, usage=usage, cost_usd=cost))
        return Completion(
            id=f"fake-{record.number}",
            created=int(now.timestamp()),
            model=model,
            reply=reply,
            usage=None if fault.name == "no-usage" else usage,
            late_usage=fault.name == "usage-late",
            bad_usage=fault.name == "bad-usage",
        )

    def _charge(
        self, model: str, request: dict[str, Any], pieces: Sequence[bytes], reply: Reply
    ) -> Usage:
        user = str(request.get("user_id") or "")
        prompt, hit = self._cache.charge(model, user, pieces)
        message = Completion("", 0, model, reply, None).message()
        # An answer that no later request could hold makes no unit.
        with contextlib.suppress(VendorRefused):
            self._cache.store(model, user, self._renderer.whole(request, message, pieces))
        thought = tokens_of(len(reply.reasoning.encode("utf-8", "replace")))
        said = reply.content + "".join(call.name + call.text for call in reply.calls)
        return Usage(
            prompt_tokens=prompt,
            hit_tokens=hit,
            miss_tokens=prompt - hit,
            completion_tokens=thought + tokens_of(len(said.encode("utf-8", "replace"))),
            reasoning_tokens=thought,
        )
