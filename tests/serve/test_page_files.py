"""The page's files and routes, without a browser."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import httpx2

from agentkit.serve.page import FILES
from agentkit.testing import Call, Reply
from tests.serve.conftest import MakeServer, follow

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "agentkit" / "serve" / "assets"


def test_only_these_files_are_served(serve: MakeServer) -> None:
    server = serve(["Done."])
    with httpx2.Client(base_url=server.address) as anybody:
        for path in FILES:
            answer = anybody.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "require-trusted-types-for 'script'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            tag = {"if-none-match": answer.headers["etag"]}
            assert anybody.get(path, headers=tag).status_code == 304
            assert anybody.get(path, headers={"host": "evil.example.com"}).status_code == 421
        assert anybody.get("/").content == (ASSETS / "index.html").read_bytes()
        # Whatever else is asked for needs the token, and is not there with it.
        client = server.client()
        for path in (
            "/page", "/page/", "/page/index.html", "/page/../page.py", "/page/%2e%2e/page.py",
            "/page/..%2f..%2fservice.py", "/page//etc/passwd", "/page/app.js/x", "/assets/app.js",
        ):  # fmt: skip
            assert anybody.get(path).status_code == 401, path
            assert client.get(path).status_code == 404, path
        assert anybody.post("/").status_code == 405


def test_the_page_says_nothing_of_this_machine_and_loads_nothing_from_others() -> None:
    for path, (content, _) in FILES.items():
        text = content.decode()
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "<script>"):
            assert word not in text, (path, word)
        outside = [each for each in text.split() if "http://" in each or "https://" in each]
        assert all("www.w3.org" in each for each in outside), (path, outside)


def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {
        Path(name).name
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("agentkit/serve/assets/")
    }
    assert shipped == {each.name for each in ASSETS.iterdir()}
    assert len(shipped) == len(FILES)


def test_the_account_goes_on_with_the_log(serve: MakeServer) -> None:
    look = Reply(calls=[Call("look", {"what": "the fox"})])
    bad = Reply(calls=[Call("look", {"wrong": 1})])
    server = serve([look, bad, "Done.", "Again."])
    client = server.client()
    session = client.post("/sessions", json={"message": "Look"}).json()["id"]
    follow(client, session)
    first = client.get(f"/sessions/{session}/account").json()
    assert [each["kind"] for each in first["requests"]] == ["answer"] * 3
    assert first["turns"] == 3
    assert first["rung"] == "deepseek-flash·high"
    assert first["usage"]["prompt_tokens"] == sum(x["hit"] + x["miss"] for x in first["requests"])
    assert first["cache"]["total"]["requests"] == 3
    (tool,) = first["tools"]
    assert (tool["tool"], tool["calls"], tool["failed"]) == ("look", 2, 1)
    last = client.post(f"/sessions/{session}/messages", json={"message": "Once more"})
    assert last.status_code == 202
    follow(client, session, first["upto"])
    second = client.get(f"/sessions/{session}/account").json()
    assert second["requests"][:3] == first["requests"]
    assert second["turns"] == 4
    whole = client.get(f"/sessions/{session}").json()
    assert abs(second["cost_usd"] - whole["cost_usd"]) < 1e-9
    assert client.get(f"/sessions/{session}/account?requests=false").json()["requests"] == []
    assert client.get(f"/sessions/{session}/account?requests=x").status_code == 422
    # A fork: what came before was paid there.
    fork = client.post(f"/sessions/{session}/fork", json={"turn": 3}).json()["session_id"]
    account = client.get(f"/sessions/{fork}/account").json()
    assert [each["inherited"] for each in account["requests"]] == [True] * 3
    assert account["cost_usd"] == 0.0
    assert client.get(f"/sessions/{session}/changes?turn=1").json() == {
        "turn": 1, "files": [], "patch": "", "cut": 0,
    }  # fmt: skip
    assert client.get(f"/sessions/{session}/changes?turn=0").status_code == 422
