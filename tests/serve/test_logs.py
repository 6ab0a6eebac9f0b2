"""What a service tells its operator, and what it never tells."""

from __future__ import annotations

import json

from agentkit.testing import FakeDeepSeek

from .conftest import TOKEN, MakeServer, follow, told, until


def test_a_run_from_its_request_to_its_end(serve: MakeServer, place: tuple[str, str]) -> None:
    model = FakeDeepSeek(["Done."]).start()
    server = serve(model, place)
    client = server.client()
    proxy = {"X-Request-Id": "from-the-proxy-7"}
    made = client.post("/sessions", json={"message": "Do it"}, headers=proxy)
    session = made.json()["id"]
    follow(client, session)
    until(lambda: told(server, "run.ended"))
    ended = told(server, "run.ended")[0]
    assert (ended["session"], ended["status"], ended["turns"]) == (session, "finished", 1)
    assert ended["usd"] > 0
    # The run outlives its request, and still says who began it.
    assert ended["request_id"] == "from-the-proxy-7"
    assert [each["session"] for each in told(server, "message.accepted")] == [session]
    asked = client.get(f"/sessions/{session}?secret=in-the-query")
    until(lambda: told(server, "request", path=f"/sessions/{session}"))
    line = told(server, "request", path=f"/sessions/{session}")[0]
    assert (line["method"], line["status"], line["level"]) == ("GET", 200, "info")
    assert line["request_id"] == asked.headers["x-request-id"]
    assert line["time"].endswith("Z")
    for secret in (TOKEN, "in-the-query", "Do it"):
        assert secret not in server.log.read_text()


def test_what_is_refused_is_logged_without_what_was_sent(
    serve: MakeServer, place: tuple[str, str]
) -> None:
    server = serve(FakeDeepSeek([]).start(), place)
    odd = {"X-Request-Id": 'a"b {"event": "forged"}', "Authorization": "Bearer wrong-token-0123456"}
    answer = server.client().get("/sessions", headers=odd)
    assert answer.status_code == 401
    assert answer.headers["x-request-id"] != odd["X-Request-Id"]
    until(lambda: told(server, "request", status=401))
    server.client().get("/healthz")
    assert "forged" not in server.log.read_text()
    assert "wrong-token" not in server.log.read_text()
    server.terminate()
    # uvicorn's own words come through the same pipe.
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {each["logger"].split(".")[0] for each in lines} == {"agentkit", "uvicorn"}
    assert "/healthz" not in {each.get("path") for each in lines}
