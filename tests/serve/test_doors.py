"""Who and what is let in: tokens, hosts, origins, bodies; and the document that describes it."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from agentkit import Agent
from agentkit.errors import UsageError
from agentkit.serve import Service, document, kept_token, router
from agentkit.serve.openapi import OPERATIONS
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, Reply
from tests.serve.conftest import MakeServer, Server, follow

ROOT = Path(__file__).parents[2]
ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
TENANTS = {ALICE: "alice", BOB: "bob"}


def ask(server: Server, method: str, path: str, **headers: str) -> tuple[int, Any]:
    """One request with exactly these headers, as no client library would let it through."""
    place = urlsplit(server.address)
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = {"host": place.netloc, "authorization": f"Bearer {ALICE}", **headers}
    for name, value in given.items():
        if value:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read()
    assert answer.headers["content-type"].startswith(
        "application/problem+json" if answer.status >= 400 else "application/json"
    )
    connection.close()
    return answer.status, json.loads(text)


def test_the_doors(serve: MakeServer) -> None:
    server = serve([], tokens=TENANTS)
    port = urlsplit(server.address).port
    # Tokens.
    for wrong in ("", "Bearer", "Bearer wrong-token-0123456789", f"Basic {ALICE}", ALICE):
        assert ask(server, "GET", "/sessions", authorization=wrong)[0] == 401
        assert ask(server, "GET", "/nowhere", authorization=wrong)[0] == 401
    assert ask(server, "GET", "/sessions")[0] == 200
    assert ask(server, "GET", "/healthz", authorization="") == (200, {"status": "ok"})
    # Hosts: a rebound name, none, rubbish; and the names that are right.
    for host in ("evil.example.com", f"evil.example.com:{port}", "127.0.0.1.evil.com"):
        assert ask(server, "GET", "/sessions", host=host)[0] == 421
        assert ask(server, "GET", "/healthz", host=host)[0] == 421
    assert ask(server, "GET", "/sessions", host="a b")[0] == 400
    assert ask(server, "GET", "/sessions", host=f"localhost:{port}")[0] == 200
    # Origins.
    for origin in ("https://evil.example.com", "null", "http://127.0.0.1:1"):
        assert ask(server, "POST", "/sessions", origin=origin)[0] == 403
        assert ask(server, "GET", "/sessions", origin=origin)[0] == 403
    for origin in (f"http://127.0.0.1:{port}", "https://known.example.com"):
        assert ask(server, "GET", "/sessions", origin=origin)[0] == 200


def test_bodies(serve: MakeServer) -> None:
    server = serve(["Done."], tokens=TENANTS)
    as_json = {"content-type": "application/json"}
    client = server.client(ALICE)
    assert client.post("/sessions", json={"message": "x" * 1_100_000}).status_code == 413
    huge = {"content_length": str(100 << 20), "content_type": "application/json"}
    assert ask(server, "POST", "/sessions", **huge)[0] == 413
    endless = client.post("/sessions", content=(b" " * 65536 for _ in range(1600)))
    assert endless.status_code == 413
    for body, status in [
        (b"{", 400), (b"\xff\xfe", 400), (b"[]", 422), (b'{"message": 7}', 422),
        (b'{"mesage": "x"}', 422), (b'{"checks": ["true"]}', 422),
        (b'{"message": "x", "checks": ["true"]}', 409),
    ]:  # fmt: skip
        answer = client.post("/sessions", content=body, headers=as_json)
        assert answer.status_code == status, (body, answer.text)
    assert client.post("/sessions", content=b"a=1").status_code == 415
    shouted = {"content-type": "APPLICATION/JSON; charset=utf-8"}
    assert client.post("/sessions", content=b"[]", headers=shouted).status_code == 422
    assert client.get("/sessions").json() == {"sessions": [], "next": None}


def test_what_is_not_there_and_what_is_not_to_be_seen(serve: MakeServer) -> None:
    server = serve(["Done."] * 3, tokens=TENANTS)
    client = server.client(ALICE)
    session = client.post("/sessions", json={"message": "Hello", "metadata": {"n": 1}}).json()["id"]
    follow(client, session)
    bob = server.client(BOB)
    for who, name in [(bob, session), (client, "nothing"), (client, "%2e%2e%2fserve-token")]:
        for each in OPERATIONS:
            if "{session_id}" in each.path:
                path = each.path.format(session_id=name, call="x")
                assert who.request(each.method, path).status_code == 404, path
    assert bob.get("/sessions").json()["sessions"] == []
    assert [each["id"] for each in client.get("/sessions").json()["sessions"]] == [session]
    assert client.get(f"/sessions/{session}").json()["metadata"] == {"n": 1}
    for query in ("after=x", "after=-1", "until=never", "deltas=2"):
        assert client.get(f"/sessions/{session}/events?{query}").status_code == 422, query
    assert client.get(f"/sessions/{session}/events?after=999999").status_code == 409
    assert client.get(f"/sessions/{session}/export?format=/etc/passwd").status_code == 422
    assert (
        client.get(f"/sessions/{session}/export?format=html")
        .headers["content-security-policy"]
        .startswith("sandbox")
    )
    assert client.get("/sessions?limit=0").status_code == 422
    assert client.put("/sessions").status_code == 405


def test_pages_and_a_full_queue(serve: MakeServer) -> None:
    capacity = json.dumps({"tenant_runs": 1, "tenant_waiting": 1})
    waits = Reply(calls=[Call("wait", {"name": "gate"})])
    server = serve({"": [waits, "Done.", "Done."]}, tokens=TENANTS, CAPACITY=capacity)
    client = server.client(ALICE)
    made = [client.post("/sessions", json={"message": "x"}) for _ in range(3)]
    assert [each.status_code for each in made] == [201, 201, 429]
    assert int(made[2].headers["retry-after"]) >= 1
    assert made[2].headers["content-type"] == "application/problem+json"
    assert server.client(BOB).post("/sessions", json={}).status_code == 201
    first = client.get("/sessions?limit=1").json()
    second = client.get("/sessions", params={"limit": 1, "cursor": first["next"]}).json()
    ids = {each["id"] for page in (first, second) for each in page["sessions"]}
    assert ids == {each.json()["id"] for each in made[:2]}
    server.open("gate")
    for each in ids:
        follow(client, each)


def test_the_committed_document_is_what_the_code_says() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(document())), "run scripts/generate"


def test_a_kept_token_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    token, fresh = kept_token(tmp_path / "home")
    assert fresh
    assert kept_token(tmp_path / "home") == (token, False)
    file = tmp_path / "home" / "serve-token"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(UsageError, match="others on this machine"):
        kept_token(tmp_path / "home")


@pytest.mark.parametrize("token", ["short", {}, {"token-of-the-tests": ""}, "with a space in it!!"])
def test_bad_tokens_are_refused_at_start(token: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        router(Agent("a"), token=token)


def test_hosts_are_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without scheme and port"):
        router(Agent("a"), token=ALICE, hosts=["https://example.com"])


def test_a_websocket_is_turned_away(serve: MakeServer) -> None:
    server = serve(["Done."])
    place = urlsplit(server.address)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 0), timeout=30) as raw:
        raw.sendall(
            f"GET /sessions HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert raw.recv(100).split()[1] in (b"401", b"403")


def test_a_service_is_one(tmp_path: Path) -> None:
    assert isinstance(router(Agent("a"), token=ALICE), Service)


async def test_without_a_lifespan_the_first_requests_may_come_together(tmp_path: Path) -> None:
    service = router(Agent("a"), store=SQLiteStore(tmp_path / "store"), token=ALICE)
    answers: list[int] = []

    async def look(client: httpx2.AsyncClient) -> None:
        answers.append((await client.get("/healthz")).status_code)

    way = httpx2.ASGITransport(app=service)
    async with (
        httpx2.AsyncClient(transport=way, base_url="http://localhost") as client,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(5):
            tasks.start_soon(look, client)
    assert answers == [200] * 5
