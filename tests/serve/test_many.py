"""Fifty sessions at work at the same moment in one server process."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.conftest import Event, MakeServer, follow
from tests.serve.test_runs import begin

SESSIONS = 50


def test_fifty_sessions_at_once(serve: MakeServer, place: tuple[str, str]) -> None:
    def answer(request: dict[str, Any]) -> Reply:
        said = request["messages"]
        name = next(each["content"] for each in said if each["role"] == "user").split()[-1]
        if any(each["role"] == "tool" for each in said):
            return Reply(f"Gate {name} is open.")
        return Reply(calls=[Call("wait", {"name": name})])

    model = FakeDeepSeek(answer).start()
    server = serve(model, place, CAPACITY=json.dumps({"runs": SESSIONS, "tenant_runs": SESSIONS}))
    names = [f"g{number}" for number in range(SESSIONS)]

    def start(name: str) -> str:
        return begin(server, f"Wait for {name}")

    def whole(session: str) -> list[Event]:
        return follow(server.client(), session)

    with ThreadPoolExecutor(SESSIONS) as clients:
        sessions = list(clients.map(start, names))
        for each in names:
            server.waits(each)  # all of them wait now: none has ended
        told = clients.map(whole, sessions)
        for each in names:
            server.open(each)
        for name, events in zip(names, told, strict=True):
            assert events[-1].data["output"] == f"Gate {name} is open."
            stored = [each.id for each in events if each.id is not None]
            assert stored == list(range(1, len(stored) + 1))
    assert model.violations == []
