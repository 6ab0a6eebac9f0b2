"""Runs live apart from connections: streams, reconnects, crashes, shutdowns, hand-over."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import anyio
import pytest

from agentkit import Agent
from agentkit.events import SessionStarted
from agentkit.log import read
from agentkit.serve.agents import Opening
from agentkit.serve.problems import Problem
from agentkit.serve.queue import Capacity
from agentkit.serve.supervisor import Supervisor
from agentkit.serve.wishes import Wish
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.conftest import TOKEN, MakeServer, Server, follow, frames, until

LOOKS = [
    Reply(calls=[Call("look", {"what": f"thing {number}"})], reasoning="Let me see. " * 5)
    for number in range(6)
]


def begin(server: Server, message: str) -> str:
    answer = server.client().post("/sessions", json={"message": message})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def raw(server: Server, session: str, after: int) -> bytes:
    """A stream's bytes to its end."""
    where = f"/sessions/{session}/events?until=finished&deltas=false"
    with server.client().stream("GET", where, headers={"Last-Event-ID": str(after)}) as answer:
        return b"".join(answer.iter_raw())


def test_a_run_goes_on_without_listeners_and_is_told_whole(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    server = serve([*LOOKS, "All seen."], place)
    client = server.client()
    session = begin(server, "Look around")
    told = follow(client, session)
    stored = [each for each in told if each.id is not None]
    assert [each.id for each in stored] == list(range(1, len(stored) + 1))
    assert [each.data["seq"] for each in stored] == [each.id for each in stored]
    assert (stored[-1].type, stored[-1].data["output"]) == ("session.finished", "All seen.")
    assert all(each.type in ("model.delta", "tool.output") for each in told if each.id is None)
    view = client.get(f"/sessions/{session}").json()
    until(lambda: client.get(f"/sessions/{session}").json()["state"] == "idle")
    view = client.get(f"/sessions/{session}").json()
    assert (view["status"], view["output"], view["title"]) == (
        "finished",
        "All seen.",
        "Look around",
    )
    lines = client.get(f"/sessions/{session}/export?format=jsonl").text.splitlines()
    assert len(lines) == len(stored)


def test_cut_anywhere_and_reconnected_nothing_is_lost_or_told_twice(serve: MakeServer) -> None:
    server = serve([*LOOKS, "All seen."])
    session = begin(server, "Look around")
    whole = raw(server, session, 0)
    expected = [each.id for each in frames(iter(whole.decode().split("\n")))]
    assert len(expected) > 20
    tails: dict[int, list[int | None]] = {}
    for cut in range(0, len(whole), max(1, len(whole) // 150)):
        got = [each.id for each in frames(iter(whole[:cut].decode("utf-8", "ignore").split("\n")))]
        last = got[-1] if got else 0
        assert last is not None
        if last not in tails:
            rest = raw(server, session, last).decode().split("\n")
            tails[last] = [each.id for each in frames(iter(rest))]
        assert got + tails[last] == expected, cut


def test_a_live_stream_that_breaks_goes_on(serve: MakeServer) -> None:
    script = [LOOKS[0], Reply(calls=[Call("wait", {"name": "gate"})]), LOOKS[1], "Done."]
    server = serve(script)
    session = begin(server, "Look, wait, look")
    client = server.client()
    got: list[int] = []
    with client.stream("GET", f"/sessions/{session}/events") as answer:
        for each in frames(answer.iter_lines()):
            if each.id is not None:
                got.append(each.id)
            if each.type == "tool.started" and each.data["tool"] == "wait":
                break
    server.open("gate")
    rest = [each.id for each in follow(client, session, got[-1]) if each.id is not None]
    assert got + rest == list(range(1, len(got) + len(rest) + 1))


def test_killed_and_started_again_the_run_goes_on(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    model = FakeDeepSeek([Reply(calls=[Call("wait", {"name": "gate"})]), "Done after all."]).start()
    server = serve(model, place)
    session = begin(server, "Wait for it")
    server.waits("gate")
    server.kill()
    server.start()
    told = follow(server.client(), session)
    assert told[-1].data["output"] == "Done after all."
    unknown = [each for each in told if each.type == "tool.finished"]
    assert [each.data["status"] for each in unknown] == ["unknown"]
    assert sum(each.type == "message" and each.data["source"] == "user" for each in told) == 1
    assert model.violations == []


def test_a_polite_end_parks_runs_and_the_next_start_takes_them_up(serve: MakeServer) -> None:
    server = serve([Reply(calls=[Call("wait", {"name": "gate"})]), "Done after all."])
    session = begin(server, "Wait for it")
    server.waits("gate")
    with server.client().stream("GET", f"/sessions/{session}/events") as answer:
        lines = answer.iter_lines()
        assert next(lines)
        assert server.terminate() in (0, -15)
    server.start()
    told = follow(server.client(), session)
    assert [each.type for each in told].count("session.finished") == 1
    assert (told[-1].data["status"], told[-1].data["output"]) == ("finished", "Done after all.")


def test_a_message_that_waits_for_its_turn_survives_a_crash(serve: MakeServer) -> None:
    script = {"first": [Reply(calls=[Call("wait", {"name": "a"})]), "One."], "second": ["Two."]}
    server = serve(script, CAPACITY='{"tenant_runs": 1}')
    begin(server, "first")
    server.waits("a")
    second = begin(server, "second")
    client = server.client()
    assert client.get(f"/sessions/{second}").json()["state"] == "queued"
    server.kill()
    server.start()
    server.open("a")
    assert follow(server.client(), second)[-1].data["output"] == "Two."


def test_two_servers_share_sessions_and_one_takes_over(
    serve: MakeServer, postgres_schema: tuple[str, str]
) -> None:
    script = [LOOKS[0], Reply(calls=[Call("wait", {"name": "gate"})]), LOOKS[1], "Done."]
    model = FakeDeepSeek(script).start()
    first = serve(model, postgres_schema)
    second = serve(model, postgres_schema)
    session = begin(first, "Look, wait, look")
    first.waits("gate")
    other = second.client()
    assert other.get(f"/sessions/{session}").json()["state"] == "elsewhere"
    assert other.post(f"/sessions/{session}/messages", json={"message": "x"}).status_code == 409
    with other.stream("GET", f"/sessions/{session}/events?until=finished") as answer:
        seen = frames(answer.iter_lines())
        got = [next(seen)]
        while not (got[-1].type == "tool.started" and got[-1].data["tool"] == "wait"):
            got.append(next(seen))
        first.kill()
        got += list(seen)
    stored = [each.id for each in got if each.id is not None]
    assert stored == list(range(1, len(stored) + 1))
    assert got[-1].data["output"] == "Done."


def test_a_run_in_one_process_streams_from_another(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    model = FakeDeepSeek([Reply(calls=[Call("wait", {"name": "gate"})]), *LOOKS, "Done."]).start()
    first, second = serve(model, place), serve(model, place)
    session = begin(first, "Wait, look")
    first.waits("gate")
    with second.client().stream("GET", f"/sessions/{session}/events?until=finished") as answer:
        seen = frames(answer.iter_lines())
        got = [next(seen)]
        first.open("gate")
        got += list(seen)
    assert [each.id for each in got] == list(range(1, len(got) + 1))
    assert got[-1].data["output"] == "Done."


def test_a_client_that_never_reads_holds_up_nobody(serve: MakeServer) -> None:
    big = Reply(calls=[Call("look", {"what": "x" * 200_000})])
    server = serve([*[big] * 10, "Done."])
    session = begin(server, "Look at big things")
    place = urlsplit(server.address)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = (
            f"GET /sessions/{session}/events HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n"
        )
        deaf.sendall(request.encode())
        told = follow(server.client(), session, query="&deltas=false")
        assert told[-1].data["output"] == "Done."
        assert [each.id for each in told] == list(range(1, len(told) + 1))


def test_steering_and_cancelling(serve: MakeServer) -> None:
    waits = Reply(calls=[Call("wait", {"name": "gate"})])
    more = Reply(calls=[Call("wait", {"name": "never"})])
    model = FakeDeepSeek([waits, more, "On again."]).start()
    server = serve(model)
    client, session = server.client(), begin(server, "Wait")
    server.waits("gate")
    assert client.post(f"/sessions/{session}/messages", json={"message": "x"}).status_code == 409
    assert client.post(f"/sessions/{session}/undo").status_code == 409
    steered = client.post(f"/sessions/{session}/steer", json={"text": "Leave the API alone."})
    assert steered.status_code == 202
    server.open("gate")
    server.waits("never")
    assert client.post(f"/sessions/{session}/cancel").status_code == 202
    told = follow(client, session)
    assert [each.data["text"] for each in told if each.type == "steered"] == [
        "Leave the API alone."
    ]
    assert told[-1].data["status"] == "cancelled"
    assert client.post(f"/sessions/{session}/cancel").status_code == 409
    on = client.post(f"/sessions/{session}/messages", json={"message": "Go on"})
    assert on.status_code == 202
    assert follow(client, session, told[-1].id or 0)[-1].data["output"] == "On again."
    assert model.violations == []


def test_going_on_waits_for_its_turn_like_a_message(serve: MakeServer) -> None:
    script = {"first": ["One."], "second": [Reply(calls=[Call("wait", {"name": "a"})]), "Two."]}
    server = serve(script, CAPACITY='{"runs": 1}')
    client, first = server.client(), begin(server, "first")
    follow(client, first)
    until(lambda: client.get(f"/sessions/{first}").json()["state"] == "idle")
    begin(server, "second")
    server.waits("a")
    on = client.post(f"/sessions/{first}/messages", json={})
    assert (on.status_code, on.json()["state"]) == (202, "queued")
    empty = client.post("/sessions", json={}).json()
    assert empty["state"] == "idle"  # it has nothing to wait for
    path = f"/sessions/{empty['id']}/messages"
    assert client.post(path, json={"message": "now"}).json()["state"] == "queued"
    for each in (first, empty["id"]):
        assert client.post(f"/sessions/{each}/steer", json={"text": "x"}).status_code == 409
        assert client.post(f"/sessions/{each}/cancel").status_code == 202
        follow(client, each)


async def test_a_session_that_is_held_for_a_fork_is_not_at_work() -> None:
    store = MemoryStore()
    with FakeDeepSeek(["Done."]) as model:
        agent = Agent("a", base_url=model.base_url, api_key="fake", store=store)
        session = (await agent.run("Do it")).session_id
    started, info = read(store, session, 0, 1)[0], store.info(session)
    assert isinstance(started, SessionStarted)
    assert info is not None
    supervisor = Supervisor(agent, store, Capacity())
    with supervisor.hub.feed(session) as feed:
        async with supervisor.alone(Opening(session, "", {}, started)):
            assert supervisor.jobs[session].state == "idle"
            with pytest.raises(Problem, match="not at work") as refused:
                await supervisor.tell(info, Wish("cancel"))
            assert refused.value.status_code == 409
        with anyio.fail_after(5):  # a stream that waits for the session's rest hears of it
            assert await feed.take() == ([0], False)


def test_a_cancelled_run_does_not_come_back(serve: MakeServer) -> None:
    script = {"first": [Reply(calls=[Call("wait", {"name": "a"})])], "second": ["Two."]}
    server = serve(script, CAPACITY='{"tenant_runs": 1}')
    first = begin(server, "first")
    server.waits("a")
    second = begin(server, "second")
    client = server.client()
    for each in (second, first):
        assert client.post(f"/sessions/{each}/cancel").status_code == 202
        follow(client, each)
        until(lambda each=each: client.get(f"/sessions/{each}").json()["state"] == "idle")
    before = {each: client.get(f"/sessions/{each}").json()["events"] for each in (first, second)}
    server.kill()
    server.start()
    third = begin(server, "second try")
    follow(server.client(), third)
    after = {each: server.client().get(f"/sessions/{each}").json() for each in (first, second)}
    assert {each: view["events"] for each, view in after.items()} == before


def test_approvals(serve: MakeServer) -> None:
    script = [
        Reply(calls=[Call("write", {"text": "one"}, id="a")]),
        Reply(calls=[Call("write", {"text": "two"}, id="b")]),
        "Done.",
    ]
    server = serve(script, APPROVE="ask")
    client, session = server.client(), begin(server, "Write")

    def asked(call: str) -> bool:
        questions = client.get(f"/sessions/{session}").json()["questions"]
        return [each["call"] for each in questions] == [call]

    until(lambda: asked("a"))
    where = f"/sessions/{session}/approvals"
    assert not (server.gate / "written").exists()
    assert client.post(f"{where}/zzz", json={"allow": True}).status_code == 404
    assert client.post(f"{where}/a", json={"allow": True}).status_code == 200
    until(lambda: asked("b"))
    assert client.post(f"{where}/a", json={"allow": False}).status_code == 409
    no = {"allow": False, "reason": "One is enough."}
    assert client.post(f"{where}/b", json=no).status_code == 200
    told = follow(client, session)
    assert told[-1].data["output"] == "Done."
    assert client.post(f"{where}/b", json=no).status_code == 409
    results = [each.data for each in told if each.type == "tool.finished"]
    assert [each["status"] for each in results] == ["done", "refused"]
    assert "One is enough." in results[1]["content"]
    assert (server.gate / "written").read_text() == "one\n"


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_question_outlives_the_server(serve: MakeServer, end: str) -> None:
    """Killed, or parked: the call waits on, under its id, and runs once it is approved."""
    script = [Reply(calls=[Call("write", {"text": "one"}, id="a")]), "Done."]
    server = serve(script, APPROVE="ask")
    session = begin(server, "Write")
    until(lambda: server.client().get(f"/sessions/{session}").json()["questions"])
    getattr(server, end)()
    server.start()
    client = server.client()
    until(lambda: client.get(f"/sessions/{session}").json()["state"] == "running")
    where = f"/sessions/{session}/approvals/a"
    (question,) = client.get(f"/sessions/{session}").json()["questions"]
    assert (question["call"], question["arguments"]) == ("a", {"text": "one"})
    assert not (server.gate / "written").exists()
    assert client.post(where, json={"allow": True}).status_code == 200
    assert client.post(where, json={"allow": True}).status_code == 409
    told = follow(client, session)
    results = [each.data["status"] for each in told if each.type == "tool.finished"]
    assert results == ["done"]
    assert (server.gate / "written").read_text() == "one\n"


def test_a_question_of_a_cancelled_run_keeps_its_answer(serve: MakeServer) -> None:
    script = [Reply(calls=[Call("write", {"text": "one"}, id="a")]), "Done."]
    server = serve(script, APPROVE="ask")
    client, session = server.client(), begin(server, "Write")
    until(lambda: client.get(f"/sessions/{session}").json()["questions"])
    assert client.post(f"/sessions/{session}/cancel").status_code == 202
    until(lambda: client.get(f"/sessions/{session}").json()["state"] == "idle")
    assert [each["call"] for each in client.get(f"/sessions/{session}").json()["questions"]] == [
        "a"
    ]
    where = f"/sessions/{session}/approvals/a"
    assert client.post(where, json={"allow": True}).status_code == 200
    assert client.post(where, json={"allow": False}).status_code == 409
    view = client.get(f"/sessions/{session}").json()
    assert (view["state"], view["questions"]) == ("idle", [])  # it was stopped, so it stays so
    assert not (server.gate / "written").exists()
    last = view["events"]
    told = follow(client, session)  # an answer is no run: the session is at rest, from anywhere
    assert [each.type for each in told][-2:] == ["session.finished", "approval.answered"]
    assert follow(client, session, last) == []
    assert client.post(f"/sessions/{session}/messages", json={}).status_code == 202
    follow(client, session, last)
    assert (server.gate / "written").read_text() == "one\n"


def test_fork_and_undo(serve: MakeServer) -> None:
    server = serve(["One.", "Two.", "Three.", "Four."])
    client, session = server.client(), begin(server, "first")
    follow(client, session)
    until(lambda: client.get(f"/sessions/{session}").json()["state"] == "idle")
    last = client.get(f"/sessions/{session}").json()["events"]
    assert client.post(f"/sessions/{session}/messages", json={"message": "more"}).status_code == 202
    follow(client, session, last)
    until(lambda: client.get(f"/sessions/{session}").json()["state"] == "idle")
    forked = client.post(f"/sessions/{session}/fork", json={"turn": 1})
    assert (forked.status_code, forked.json()["turn"]) == (201, 1)
    undone = client.post(f"/sessions/{session}/undo", json={})
    assert (undone.status_code, undone.json()["turn"]) == (201, 1)
    assert client.post(f"/sessions/{session}/fork", json={"turn": 9}).status_code == 409
    for each in (forked, undone):
        child = each.json()["session_id"]
        assert follow(client, child)[-1].type == "session.forked"
        path = f"/sessions/{child}/messages"
        at = client.get(f"/sessions/{child}").json()["events"]
        assert client.post(path, json={"message": "other"}).status_code == 202
        told = follow(client, child, at)
        assert told[-1].data.get("output") in ("Three.", "Four."), told
    ids = [each["id"] for each in client.get("/sessions").json()["sessions"]]
    assert len(ids) == 3
