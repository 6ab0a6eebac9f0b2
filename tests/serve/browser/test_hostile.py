"""What a model, a tool or a task says is text, whatever it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from agentkit import events as e
from agentkit.ladder import FLASH
from agentkit.models.types import ToolCall, Usage
from agentkit.stores.sqlite import SQLiteStore
from benchmarks.long_session import opening, write
from tests.serve.browser.conftest import Eye, enter, shoot
from tests.serve.conftest import MakeServer

EVIL = (
    "<script>pwned = 1</script><img src=x onerror='pwned = 1'><svg onload='pwned = 1'>"
    "</pre></article><style>*{display:none}</style>"
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>"
    "[click](javascript:pwned=1) javascript:pwned=1 {{constructor.constructor('pwned=1')()}}"
    "`<b>code</b>` **<i>bold</i>**\n```html\n<script>pwned = 1</script>\n```\n"
)
TURNED = "admin\u202e\u2066 // not really\u2069\u2066 \u200b\x1b[31mred\x1b[0m\x07\x00"
SEEN = "admin⟨U+202E⟩⟨U+2066⟩ // not really⟨U+2069⟩⟨U+2066⟩ ⟨U+200B⟩red⟨U+0007⟩⟨U+0000⟩"
BOTH = EVIL + TURNED


def _everywhere() -> Iterator[e.Event]:
    """Every field that the page shows, each with the worst that it could hold."""
    yield from opening("evil", BOTH, ({"type": "function", "function": {"name": BOTH}},))
    yield e.Message(text=BOTH, source="hook")
    yield e.Steered(text=BOTH)
    yield e.ModelRequested(model=FLASH.model, attempt=1, size=1, prefix="")
    calls = (ToolCall("c1", BOTH, BOTH), ToolCall("c2", "edit", "{}"), ToolCall("c3", "bash", "{}"))
    yield e.ModelResponded(
        content=BOTH, reasoning=BOTH, calls=calls, usage=Usage(10, 5, 5, 1), model=FLASH.model,
        served_model=BOTH, finish_reason="tool_calls",
    )  # fmt: skip
    yield e.ToolStarted(call_id="c1", tool=BOTH, arguments={BOTH: BOTH, "path": BOTH})
    yield e.ToolFinished(call_id="c1", tool=BOTH, status="failed", content=BOTH)
    yield e.ToolStarted(
        call_id="c2", tool="edit", arguments={"old_str": BOTH, "new_str": "x" + BOTH}
    )
    yield e.ToolFinished(call_id="c2", tool="edit", status="done", content=BOTH)
    yield e.ApprovalAsked(call_id="c3", tool="bash", arguments={"command": BOTH})
    yield e.ApprovalAnswered(call_id="c3", allowed=False, reason=BOTH)
    yield e.PlanUpdated(steps=({"step": BOTH, "status": BOTH, "check": BOTH},))
    yield e.CheckFailed(command=BOTH, exit_code=1, output=BOTH)
    yield e.Evidence(kind="help-asked", weight=1.0, sources=(1,), detail=BOTH)
    yield e.RungChanged(
        from_rung=BOTH, to_rung=BOTH, form="note", reason=BOTH, prices={BOTH: 1.0},
        numbers={BOTH: BOTH}, back_to=BOTH,
    )  # fmt: skip
    yield e.PrefixBroken(region=BOTH, cause=BOTH, tokens=1)
    yield e.ModelFailed(error=BOTH, message=BOTH, attempt=1)
    yield e.Folded(to=BOTH, summary=BOTH, events=1)
    yield e.SandboxOpened(description=BOTH)
    yield e.SessionFinished(
        status="failed", exit_code=1, output=BOTH, data={BOTH: BOTH}, usage=Usage(10, 5, 5, 1),
        checks=(e.CheckReport(command=BOTH, passed=False),),
    )  # fmt: skip


def _unhurt(page: Page) -> None:
    assert page.evaluate("() => typeof pwned") == "undefined"
    for tag in (
        "script:not([src])",
        "img",
        "iframe",
        "style",
        "b:not(figcaption b)",
        "i",
        "[onload]",
    ):
        assert page.locator(f"main {tag}").count() == 0, tag
    assert page.locator("[onerror], a[href^='javascript']").count() == 0


def test_hostile_texts_stay_text(page: Page, serve: MakeServer, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store")
    write(store, "evil", _everywhere())
    store.close()
    server = serve(["unused"], place=(str(tmp_path / "store"), ""))
    enter(page, server)
    expect(page.locator(".row .title")).to_contain_text("<script>pwned = 1</script>")
    _unhurt(page)
    page.locator(".row .title").click()
    expect(page.locator(".entry.turn").first).to_contain_text(SEEN)
    assert "<script>" in page.title()
    assert not set(page.title()) & set("\u202e\u2066\u2069")
    # From entry to entry, unfolding each; only those near the window are in the document.
    page.keyboard.press("t")
    seen: dict[str, str] = {}
    while "finished" not in seen:
        page.keyboard.press("j")
        page.keyboard.press("o")
        entry = page.locator(".entry:focus")
        expect(page.locator("details[open]:not(:has(> :nth-child(2)))")).to_have_count(0)
        kind = (entry.get_attribute("class") or "").split()[1]
        assert len(seen) < 40
        seen[kind] = entry.inner_text()
        _unhurt(page)
    harmless = {"started", "lost"}
    for kind, shown in seen.items():
        assert kind in harmless or "<script>pwned = 1</script>" in shown, kind
        assert not set(shown) & set("\u202e\u2066\u2069\u200b\x1b\x07"), kind
    assert len(seen) >= 15
    assert SEEN in seen["turn"]
    assert page.evaluate("() => getComputedStyle(document.body).display") == "block"
    shoot(page, "hostile")


def test_what_is_to_be_allowed_hides_nothing(page: Page, serve: MakeServer, tmp_path: Path) -> None:
    """Not the name of a window, not a colour, not a space or a letter that is none."""
    command = (
        "ls \x1b]0; rm -f victim ;\x07 \x1b[31msrc\u200d\u3164\u2800\u00a0\ufe0f\U000e0041\r\n"
    )
    store = SQLiteStore(tmp_path / "store")
    write(store, "hides", _asks({"command": command, "deep": {"a\u3164": ["\u00a0"]}}))
    store.close()
    server = serve(["unused"], place=(str(tmp_path / "store"), ""))
    enter(page, server, "hides")
    question = page.locator(".question")
    expect(question.locator(".command")).to_have_text(
        "ls ⟨U+001B⟩]0; rm -f victim ;⟨U+0007⟩ ⟨U+001B⟩[31msrc"
        "⟨U+200D⟩⟨U+3164⟩⟨U+2800⟩⟨U+00A0⟩⟨U+FE0F⟩⟨U+E0041⟩⟨U+000D⟩"
    )
    expect(question).to_contain_text('deep: {"a⟨U+3164⟩":["⟨U+00A0⟩"]}')
    expect(page.locator(".entry.turn")).to_contain_text("⟨U+001B⟩]0; rm -f victim ;⟨U+0007⟩")


def _asks(arguments: dict[str, Any]) -> Iterator[e.Event]:
    """A run that waits for a yes."""
    yield from opening("hides", "Do it", ())
    yield e.ModelRequested(model=FLASH.model, attempt=1, size=1, prefix="")
    yield e.ModelResponded(
        content="", calls=(ToolCall("c1", "bash", json.dumps(arguments)),), model=FLASH.model,
        usage=Usage(10, 5, 5, 1), finish_reason="tool_calls",
    )  # fmt: skip
    yield e.ApprovalAsked(call_id="c1", tool="bash", arguments=arguments, risk="high")
    yield e.SessionFinished(status="waiting", exit_code=1, output="", usage=Usage(10, 5, 5, 1))


def test_the_policy_would_refuse_markup(eye: Eye, serve: MakeServer) -> None:
    """Had the page a way to make markup of text, the browser would not take it."""
    server, page = serve(["unused"]), eye.page
    enter(page, server)
    for attempt in (
        "() => { document.body.innerHTML = '<i>x</i>' }",
        "() => { document.createElement('script').text = 'pwned = 1' }",
        "() => { document.body.insertAdjacentHTML('beforeend', '<i>x</i>') }",
    ):
        refused = page.evaluate(
            f"() => {{ try {{ ({attempt})() ; return '' }} catch (error) {{ return error.name }} }}"
        )
        assert refused == "TypeError", attempt
    _unhurt(page)
    assert len(eye.faults) == 3  # the browser says each time what it refused
    eye.faults.clear()
