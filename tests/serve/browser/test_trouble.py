"""Wrong tokens, lost servers, refusals: each is told in words, and nothing is lost."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.browser.conftest import enter
from tests.serve.conftest import TOKEN, MakeServer, follow


def test_the_token(page: Page, serve: MakeServer) -> None:
    server = serve(["Done."])
    page.goto(f"{server.address}/#token=wrong-token-0123456789")
    expect(page.get_by_text("does not take the token of this tab")).to_be_visible()
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    field.fill("also-wrong-0123456789")
    field.press("Enter")
    expect(page.get_by_text("The service does not take this token.")).to_be_visible()
    field.fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    # It is in this tab only, and in no address.
    assert TOKEN not in page.url
    page.reload()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    stored = page.evaluate("() => [JSON.stringify(localStorage), document.cookie]")
    assert TOKEN not in "".join(stored)
    other = page.context.new_page()
    other.goto(server.address)
    expect(other.get_by_role("heading", name="Token")).to_be_visible()


def test_no_such_session_and_refusals(page: Page, serve: MakeServer) -> None:
    waits = Reply(calls=[Call("wait", {"name": "gate"})])
    server = serve([waits, "Done."])
    client = server.client()
    enter(page, server, "nothing")
    expect(page.get_by_role("heading", name="there is no such session")).to_be_visible()
    session = client.post("/sessions", json={"message": "Wait"}).json()["id"]
    page.goto(f"{server.address}/#/s/{session}")
    server.waits("gate")
    # Checks need a sandbox, which this agent has not; a fork of a session at work is refused.
    turn = page.locator(".entry.turn")
    turn.hover()
    turn.get_by_role("button", name="Fork after turn 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Fork").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("the session is at work")
    expect(alert).to_contain_text("Cancel it, or wait for its end")
    alert.get_by_role("button").click()
    expect(alert).to_have_count(0)
    server.open("gate")
    expect(page.locator(".entry.finished")).to_be_visible()
    page.get_by_label("Message", exact=True).fill("Check it")
    page.get_by_text("Checks", exact=True).click()
    page.get_by_label("Commands that must exit 0").fill("true")
    page.get_by_role("button", name="Send").click()
    expect(alert).to_contain_text("checks need a sandbox")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Check it")


def test_a_server_that_goes_away_and_comes_back(page: Page, serve: MakeServer) -> None:
    script = [Reply(calls=[Call("wait", {"name": "gate"})]), "The end."]
    server = serve(FakeDeepSeek(script).start())
    session = server.client().post("/sessions", json={"message": "Wait"}).json()["id"]
    enter(page, server, session)
    expect(page.locator(".call.running")).to_be_visible()
    entries = page.locator(".entry")
    before = entries.count()
    # The stream is cut; the page asks again from where it was.
    asked: list[str] = []
    page.on(
        "request",
        lambda each: (
            asked.append(each.headers.get("last-event-id", "")) if "/events" in each.url else None
        ),
    )
    page.context.set_offline(True)
    page.get_by_label("Message", exact=True).fill("Faster")
    page.get_by_role("button", name="Steer").click()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Faster")
    page.context.set_offline(False)
    server.kill()
    expect(page.locator("#link")).to_have_text("Connecting again…")
    server.env["PORT"] = server.address.rpartition(":")[2]
    server.start()
    expect(page.locator("#link")).to_have_text("")
    server.open("gate")
    expect(page.locator(".entry.finished")).to_contain_text("The end.")
    assert entries.count() > before
    assert any(re.fullmatch(r"[1-9]\d*", each) for each in asked)
    # Nothing twice: each turn is there once, and so is the task.
    expect(page.locator(".entry.user")).to_have_count(1)
    expect(page.get_by_role("heading", name="Turn 1", exact=True)).to_have_count(1)


def test_below_the_path_of_a_host_app(page: Page, serve: MakeServer) -> None:
    server = serve(["All is well."], MOUNT="/agents")
    assert server.address.endswith("/agents")
    enter(page, server)
    page.get_by_label("What is to be done?").fill("Say it")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".entry.finished")).to_contain_text("All is well.")
    assert page.url.startswith(f"{server.address}/#/s/")


def test_a_tab_out_of_sight_lets_its_stream_go(page: Page, serve: MakeServer) -> None:
    server = serve([Reply(calls=[Call("wait", {"name": "gate"})]), "The end."])
    session = server.client().post("/sessions", json={"message": "Wait"}).json()["id"]
    enter(page, server, session)
    expect(page.locator(".call.running")).to_be_visible()
    with page.expect_event("requestfailed", lambda each: "/events" in each.url):
        _sight(page, hidden=True)
    server.open("gate")
    follow(server.client(), session)
    assert page.locator(".entry.finished").count() == 0
    with page.expect_request(lambda each: "/events" in each.url) as again:
        _sight(page, hidden=False)
    assert int(again.value.headers["last-event-id"]) > 1
    expect(page.locator(".entry.finished")).to_contain_text("The end.")
    expect(page.get_by_role("heading", name="Turn 2", exact=True)).to_have_count(1)


def _sight(page: Page, *, hidden: bool) -> None:
    """A headless browser hides no tab; the page is told what a browser would tell it."""
    page.evaluate(
        "(value) => {"
        " Object.defineProperty(document, 'hidden', { value, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')) }",
        hidden,
    )


def test_addresses_that_spell_nothing(page: Page, serve: MakeServer) -> None:
    server = serve(["Done."])
    page.goto(f"{server.address}/#token=%E0%A4%A")
    expect(page.get_by_role("heading", name="Token")).to_be_visible()
    enter(page, server)
    page.goto(f"{server.address}/#/s/%E0%A4%A")
    expect(page.get_by_role("heading", name="there is no such session")).to_be_visible()
    page.goto(f"{server.address}/#/nowhere")
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
