"""Without a mouse, without sight, in the dark, on a telephone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from agentkit import events as e
from agentkit.ladder import FLASH, PRO
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, Reply
from benchmarks.long_session import opening, turns, write
from tests.serve.browser.conftest import DESKTOP, PHONE, Eye, enter, shoot
from tests.serve.conftest import TOKEN, MakeServer, Server

LONG = "\n".join(f"line {each}" for each in range(60))
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def _all_kinds() -> Iterator[e.Event]:
    """A session with one entry of each kind."""
    yield from opening("kinds", "Show everything that can happen", ({"type": "function"},))
    yield e.SandboxOpened(description="docker 1234 · network none")
    yield e.Message(text="[There are 900 s for this task.]", source="agentkit")
    yield from turns(6)
    yield from turns(1, first=24)
    yield e.Steered(text="Leave the public API alone.")
    yield e.LimitNear(limit="cost_usd", used=0.41, allowed=0.5)
    yield e.PrefixBroken(region="tools", cause="a tool was added", tokens=21000, price_usd=0.0027)
    yield e.RungChanged(
        from_rung=FLASH.name, to_rung=PRO.name, form="hand-off", reason="check failed again",
        prices={f"note {FLASH.name}": 1e-3, f"hand-off {PRO.name}": 0.02, f"move {PRO.name}": 0.2},
        numbers={"history": 20000}, back_to="c3",
    )  # fmt: skip
    yield e.RungSkipped(rung=PRO.name, reason="served by the same model")
    yield e.ModelFailed(error="RateLimited", message="Too many requests.", attempt=1, wait=2.5)
    yield e.ModelChanged(model="a", served_before="b", served_now="c")
    yield e.ModelAdvised(content="Look at the rounding.")
    yield e.Folded(to="main-2", summary="What was done so far", events=20)
    yield e.Restored(checkpoint="c3", changed=2, paths=("a", "b"))
    yield e.CheckPassed(command="pytest -q", duration=2.0)
    yield e.SessionFinished(
        status="limit", exit_code=3, output="The budget is used up.", turns=7, cost_usd=0.5,
        checks=(e.CheckReport(command="pytest -q", passed=True),),
    )  # fmt: skip


@pytest.fixture
def server(serve: MakeServer, tmp_path: Path) -> Server:
    store = SQLiteStore(tmp_path / "store")
    write(store, "kinds", _all_kinds())
    store.close()
    asks = Reply(calls=[Call("write", {"text": LONG})])
    return serve([asks, "Done."], place=(str(tmp_path / "store"), ""), APPROVE="ask")


def _check(page: Page, what: str) -> None:
    """No finding of axe-core (WCAG 2.2 A and AA, and its good practice)."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("() => axe.run()")
    told = [
        {"rule": each["id"], "where": [node["target"] for node in each["nodes"]][:5]}
        for each in found["violations"]
    ]
    assert not told, f"{what}: {json.dumps(told, indent=1)}"
    assert len(found["passes"]) > 10


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_every_view_passes_axe(browser: Browser, server: Server, scheme: Any, size: str) -> None:
    context = browser.new_context(
        viewport=DESKTOP if size == "desktop" else PHONE, color_scheme=scheme
    )
    page = Eye(context.new_page()).page
    page.goto(server.address)
    expect(page.get_by_role("heading", name="Token")).to_be_visible()
    _check(page, "door")
    enter(page, server)
    expect(page.locator(".row .hits .value")).to_contain_text("%")
    _check(page, "list")
    _shoot(page, "list", size)
    page.locator(".row .title").first.click()
    expect(page.get_by_role("heading", name="Turn 1", exact=True)).to_be_attached()
    expect(page.locator(".plot")).to_have_count(3)
    _shoot(page, "session", size)
    # All that is there, unfolded, folds of the side too.
    page.locator("details").evaluate_all("(all) => all.forEach((one) => (one.open = true))")
    for each in page.locator(".entry button.more").all()[:3]:
        each.click()
    _check(page, "session")
    page.keyboard.press("e")
    expect(page.locator(".entry.finished")).to_be_in_viewport()
    _check(page, "end of the session")
    _shoot(page, "session-end", size)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    _check(page, "keys")
    context.close()


def _shoot(page: Page, view: str, size: str) -> None:
    """In both colours; the test goes on in its own."""
    dark = page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    for scheme in ("dark", "light") if not dark else ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shoot(page, f"{view}-{size}-{scheme}")


def test_a_question_passes_axe(page: Page, server: Server) -> None:
    session = server.client().post("/sessions", json={"message": "Write"}).json()["id"]
    enter(page, server, session)
    question = page.get_by_role("group", name="Approval of write")
    # Whoever is to say yes sees all of it, however long it is.
    expect(question).to_contain_text("line 30\nline 31")
    _check(page, "question")
    question.get_by_role("button", name="Decline").click()
    _check(page, "dialog")
    page.keyboard.press("Escape")
    question.get_by_role("button", name="Allow").click()
    expect(page.locator(".entry.finished")).to_contain_text("Done.")
    assert (server.gate / "written").read_text() == LONG + "\n"


def _focused(page: Page) -> str:
    return page.evaluate(
        "() => { const e = document.activeElement;"
        " return e.getAttribute('aria-label') || e.textContent.trim().slice(0, 40) || e.id }"
    )


def test_everything_is_reached_with_the_keyboard(page: Page, server: Server) -> None:
    enter(page, server)
    expect(page.locator(".row")).to_have_count(1)
    order: list[str] = []
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(_focused(page))
        ring = page.evaluate(
            "() => { const e = document.activeElement; const row = e.closest('.row') ?? e;"
            " return getComputedStyle(e).outlineStyle + getComputedStyle(row).outlineStyle }"
        )
        assert "solid" in ring, order[-1]
    start = order.index("What is to be done?")
    assert order[start : start + 3] == ["What is to be done?", "Checks", "Start"]
    assert "Show everything that can happen" in order
    # Shortcuts, and that a field takes the same keys as letters.
    page.keyboard.press("n")
    expect(page.get_by_label("What is to be done?")).to_be_focused()
    page.keyboard.type("?")
    expect(page.get_by_label("What is to be done?")).to_have_value("?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("A new session")
    page.get_by_label("Single keys are shortcuts").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)  # gone, and the focus with it
    page.keyboard.press("n")
    expect(page.get_by_label("What is to be done?")).not_to_be_focused()
    page.keyboard.press("?")
    page.get_by_label("Single keys are shortcuts").check()
    page.keyboard.press("Escape")
    # Into the session by Enter, from entry to entry, and unfolding one.
    page.locator(".row .title").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Turn 1", exact=True)).to_be_visible()
    for _ in range(20):
        page.keyboard.press("j")
        if page.locator(".entry:focus").get_attribute("class") == "entry turn ":
            break
    expect(page.locator(".entry.turn:focus details").first).not_to_have_attribute("open", "")
    page.keyboard.press("o")
    expect(page.locator(".entry.turn:focus .thought")).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator(".entry.finished")).to_be_in_viewport()
    page.keyboard.press("m")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()


def test_colours_follow_the_system_until_chosen(page: Page, server: Server) -> None:
    enter(page, server)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Colours: as the system").click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Colours: light").click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark


def test_nothing_is_wider_than_a_telephone(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    enter(page, server)
    wide = "() => document.documentElement.scrollWidth <= innerWidth"
    expect(page.locator(".row")).to_have_count(1)
    assert page.evaluate(wide)
    page.goto(f"{server.address}/#/s/kinds")
    expect(page.get_by_role("heading", name="Turn 1", exact=True)).to_be_attached()
    expect(page.locator(".plot")).to_have_count(3)
    page.locator(".side-fold > summary").click()
    assert page.evaluate(wide)
    page.keyboard.press("e")
    expect(page.locator(".entry.finished")).to_be_in_viewport()
    assert page.evaluate(wide)
    assert TOKEN not in page.url
    context.close()
