"""What is asked of one server for a run that another one has: real processes on one store."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.events import Fact, RunStarted, SessionFinished, Steered
from agentkit.serve.feeds import Hub
from agentkit.serve.pending import owed
from agentkit.serve.problems import Problem
from agentkit.serve.wishes import Relay, Wish
from agentkit.stores import Row
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.conftest import MakeServer, follow, until
from tests.serve.test_runs import begin

WAITS = Reply(calls=[Call("wait", {"name": "gate"})])
NEVER = Reply(calls=[Call("wait", {"name": "never"})])


def test_a_run_is_steered_and_cancelled_from_another_process(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    model = FakeDeepSeek([WAITS, NEVER]).start()
    first, second = serve(model, place), serve(model, place)
    session = begin(first, "Wait")
    first.waits("gate")
    other = second.client()
    assert other.get(f"/sessions/{session}").json()["state"] == "elsewhere"
    said = other.post(f"/sessions/{session}/steer", json={"text": "Leave the API alone."})
    assert (said.status_code, said.json()["state"]) == (202, "running")
    first.open("gate")
    first.waits("never")
    assert other.post(f"/sessions/{session}/cancel").status_code == 202
    told = follow(other, session)
    assert [each.data["text"] for each in told if each.type == "steered"] == [
        "Leave the API alone."
    ]
    assert told[-1].data["status"] == "cancelled"
    until(lambda: other.get(f"/sessions/{session}").json()["state"] == "idle")
    late = other.post(f"/sessions/{session}/steer", json={"text": "Too late."})
    assert (late.status_code, late.json()["detail"]) == (409, "the session is not at work")
    assert model.violations == []


def test_a_question_is_answered_from_another_process(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    model = FakeDeepSeek(
        [
            Reply(calls=[Call("write", {"text": "one"}, id="a")]),
            Reply(calls=[Call("write", {"text": "two"}, id="b")]),
            "Done.",
        ]
    ).start()
    first = serve(model, place, APPROVE="ask")
    second = serve(model, place, APPROVE="ask")
    session = begin(first, "Write")
    client, other = first.client(), second.client()
    where = f"/sessions/{session}/approvals"

    def asked(call: str) -> bool:
        questions = client.get(f"/sessions/{session}").json()["questions"]
        return [each["call"] for each in questions] == [call]

    until(lambda: asked("a"))
    assert other.post(f"{where}/zzz", json={"allow": True}).status_code == 404
    assert other.post(f"{where}/a", json={"allow": True}).status_code == 200
    until(lambda: asked("b"))
    assert other.post(f"{where}/a", json={"allow": True}).status_code == 409
    no = {"allow": False, "reason": "One is enough."}
    assert other.post(f"{where}/b", json=no).status_code == 200
    told = follow(other, session)
    results = [each.data for each in told if each.type == "tool.finished"]
    assert [each["status"] for each in results] == ["done", "refused"]
    assert "One is enough." in results[1]["content"]
    assert (first.gate / "written").read_text() == "one\n"


def test_a_word_that_was_taken_in_survives_the_process(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    model = FakeDeepSeek([WAITS, "Done."]).start()
    first, second = serve(model, place), serve(model, place)
    session = begin(first, "Wait")
    first.waits("gate")
    for word in ("One.", "Two."):
        said = second.client().post(f"/sessions/{session}/steer", json={"text": word})
        assert said.status_code == 202
    first.kill()  # in the middle of the call: the model has not read them
    told = follow(second.client(), session)
    assert [each.data["text"] for each in told if each.type == "steered"] == ["One.", "Two."]
    assert told[-1].data["output"] == "Done."
    sent = [
        each["content"] for each in model.requests[-1].body["messages"] if each["role"] == "user"
    ]
    assert [each for each in sent if each in ("One.", "Two.")] == ["One.", "Two."]


async def test_a_process_that_does_not_take_requests_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentkit.serve.wishes.PATIENCE", 1.0)
    terminal, store = SQLiteStore(tmp_path), SQLiteStore(tmp_path)
    terminal.append("s", [Row(1, "t", "message", "main", "{}")])
    relay = Relay(store, Hub(store), lambda _: None)
    terminal.acquire("s")
    with pytest.raises(Problem, match="not done") as refused:
        await relay.send("s", Wish("cancel"))
    assert refused.value.status_code == 503
    assert terminal.take("s") == []  # and it never will be
    terminal.close()
    store.close()


def test_what_was_said_and_not_read_is_owed() -> None:
    said = [Fact(kind="serve.said", data={"text": each}) for each in ("a", "b", "a")]
    begun = [Fact(kind="serve.accepted", data={"message": "x", "checks": []}), RunStarted()]
    left = owed([*begun, *said, Steered(text="a"), RunStarted()])
    assert left is not None
    assert left.words == ("b", "a")
    assert owed([*begun, *said, SessionFinished(status="finished", exit_code=0)]) is None
