"""The same under trio."""

from __future__ import annotations

import pytest

from agentkit.mcp import MCPServer
from tests.mcp.conftest import Bench, StartRemote, hostile

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


async def test_both_transports_work_and_a_dead_server_starts_again(
    bench: Bench, remote: StartRemote
) -> None:
    with remote() as server:
        far = MCPServer("far", url=server.url, timeout=20)
        async with bench.agent(hostile(), far).session("one") as session:
            assert (await bench.call(session, "far__add", a=2, b=3)).content == "5"
            assert (await bench.call(session, "bad__echo", text="here")).content == "here"
            assert "broke during the call" in (await bench.call(session, "bad__die")).content
            assert (await bench.call(session, "bad__echo", text="again")).content == "again"
