"""A server over streamable HTTP, the SDK's own, as a process."""

from __future__ import annotations

import pytest

from agentkit.errors import ToolServerError
from agentkit.events import ToolOutput
from agentkit.mcp import MCPServer
from agentkit.testing import Call, Reply, assert_prefix_stable
from tests.mcp.conftest import Bench, StartRemote

pytestmark = pytest.mark.anyio


async def test_calls_progress_and_headers(
    bench: Bench, remote: StartRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_TOKEN", "remote-secret-4711")
    headers = {"Authorization": "Bearer ${REMOTE_TOKEN}"}
    with remote() as server:
        there = MCPServer("far", url=server.url, headers=headers, timeout=10)
        async with bench.agent(there).session("one") as session:
            assert (await bench.call(session, "far__add", a=2, b=3)).content == "5"
            wrong = await bench.call(session, "far__add", a="two", b=3)
            assert wrong.status == "invalid"
            who = await bench.call(session, "far__who")
            assert who.content == "Bearer [redacted: far Authorization]"  # it arrived
            bench.replies += [
                Reply(reasoning="hm", calls=[Call("far__slow", {"steps": 3})]),
                Reply(reasoning="hm", content="Done."),
            ]
            stream = session.stream("Go.")
            shown = [each.text async for each in stream if isinstance(each, ToolOutput)]
        assert "[1 of 3] step 1\n" in shown
        assert bench.results("one")[-1].content == "slow is done"
    assert all("remote-secret" not in row.data for row in bench.store.read("one", 0))
    assert_prefix_stable(bench.server)


async def test_a_server_that_goes_is_an_error_and_is_found_again(
    bench: Bench, remote: StartRemote
) -> None:
    with remote() as server:
        there = MCPServer("far", url=server.url, timeout=10)
        async with bench.agent(there).session() as session:
            assert (await bench.call(session, "far__add", a=1, b=1)).content == "2"
            died = await bench.call(session, "far__end")
            assert died.status == "failed"
            assert "broke during the call" in died.content
            server.process.wait(10)
            away = await bench.call(session, "far__add", a=1, b=1)
            assert away.status == "failed"
            with remote(server.port):
                assert (await bench.call(session, "far__add", a=1, b=2)).content == "3"


@pytest.mark.parametrize("options", [[], ["json"]])
async def test_a_large_answer_is_refused_and_a_long_one_cut(
    bench: Bench, remote: StartRemote, options: list[str]
) -> None:
    with remote(0, *options) as server:
        there = MCPServer("far", url=server.url, timeout=20)
        async with bench.agent(there).session() as session:
            cut = await bench.call(session, "far__large", megabytes=1)
            assert cut.status == "done"
            assert "characters left out here" in cut.content
            assert len(cut.content) < 51_000
            refused = await bench.call(session, "far__large", megabytes=60)
            assert refused.status == "failed"
            assert len(refused.content) < 2_000
            assert (await bench.call(session, "far__add", a=1, b=2)).content == "3"


async def test_nobody_listens_there(bench: Bench, remote: StartRemote) -> None:
    with remote() as server:
        port = server.port
    there = MCPServer("far", url=f"http://127.0.0.1:{port}/mcp")
    with pytest.raises(ToolServerError, match=r"'far' could not be started: .*connect"):
        async with bench.agent(there).session():
            pass


async def test_what_answers_there_is_no_mcp_server(bench: Bench) -> None:
    there = MCPServer("far", url=bench.server.base_url, start_timeout=10)
    with pytest.raises(ToolServerError, match="'far' could not be started"):
        async with bench.agent(there).session():
            pass
