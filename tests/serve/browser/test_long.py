"""2,000 turns: however long a session is, the document stays small, and everything is reached."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from agentkit.stores.sqlite import SQLiteStore
from benchmarks.long_session import long_session, write
from tests.serve.browser.conftest import enter, shoot
from tests.serve.conftest import MakeServer, until

TURNS = 2000
NODES = 6000
"""Elements of the document at most, with whatever is in the window."""
COUNT = "() => document.getElementsByTagName('*').length"
SEEN = """() => [...document.querySelectorAll('.entry')].some((each) => {
    const { top, bottom } = each.getBoundingClientRect();
    return bottom > 60 && top < innerHeight - 160;
})"""
"""Whether an entry is in the window, not only the empty boxes of groups."""
HEIGHT = "() => document.documentElement.scrollHeight"


def test_two_thousand_turns(page: Page, serve: MakeServer, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store")
    events = write(store, "long", long_session("long", TURNS))
    store.close()
    server = serve(["unused"], place=(str(tmp_path / "store"), ""))
    enter(page, server, "long")
    expect(page.locator(".feed")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".pairs dd", has_text=re.compile(r"^2,000$"))).to_be_visible()
    expect(page.get_by_role("img", name="Input tokens of 2,000 requests")).to_be_visible()
    counts = [page.evaluate(COUNT)]
    # Through the whole of it, window by window, at the speed of a thumb that is pulled.
    height = page.evaluate(HEIGHT)
    for share in range(1, 41):
        page.evaluate(f"() => scrollTo(0, {height * share / 40})")
        until(lambda: page.evaluate(SEEN))
        counts.append(page.evaluate(COUNT))
    assert max(counts) < NODES
    page.keyboard.press("e")
    expect(page.locator(".entry.finished")).to_be_in_viewport()
    expect(page.get_by_role("heading", name="Turn 2000")).to_be_visible()
    shoot(page, "long-end")
    # Going up by the keyboard from the end; the entries keep their numbers.
    page.locator(".entry.finished").focus()
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(page.locator(".entry:focus h3")).to_have_text(re.compile("Reaction: note|Turn 2000"))
    # Everything is found, also what is not in the document.
    assert page.get_by_text("Step 777:").count() == 0
    page.keyboard.press("/")
    page.keyboard.type("step 777:")
    expect(page.get_by_role("heading", name="Turn 778")).to_be_visible()
    expect(page.locator(".entry")).to_have_count(1)
    page.get_by_label("Search in the timeline").fill("")
    page.get_by_label("What to show").select_option("course")
    expect(page.locator(".tools [role=status]")).to_have_text(re.compile(r"^\d+ of \d+$"))
    assert page.evaluate(COUNT) < NODES
    print(f"{events} events; elements at most {max(counts)}, {height} px high")
