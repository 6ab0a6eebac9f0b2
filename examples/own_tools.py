"""An agent with tools of your own: plain typed functions."""

from __future__ import annotations

from datetime import date

from _model import call, model

from agentkit import Agent, ToolError, tool

BORROWED = {"Kalpa Imperial": date(2026, 11, 2), "The Dispossessed": date(2026, 11, 20)}


@tool(read_only=True)
def due(title: str) -> date:
    """Return the day on which a borrowed book is due.

    Args:
        title: the book's title as in our catalogue.
    """
    if title not in BORROWED:
        raise ToolError(f"nobody has borrowed {title!r}; borrowed: {', '.join(BORROWED)}")
    return BORROWED[title]


@tool
async def extend(title: str, days: int = 14) -> str:
    """Extend a loan."""
    BORROWED[title] = date.fromordinal(BORROWED[title].toordinal() + days)
    return f"now due on {BORROWED[title]:%d %B}"


librarian = Agent(
    "librarian",
    instructions="You help the readers of a small library. Look things up; never guess.",
    tools=[due, extend],
)

SCRIPT = [
    call("due", title="Kalpa imperial"),  # a slip, which the tool's words put right
    call("due", title="Kalpa Imperial"),
    call("extend", title="Kalpa Imperial", days=7),
    "It was due on 2 November; I have extended your loan of Kalpa Imperial to 9 November.",
]

if __name__ == "__main__":
    with model(SCRIPT):
        result = librarian.run_sync("Can I keep Kalpa Imperial for another week?")
    print(result.output)
    print(f"[{result.status}, {result.turns} turns, ${result.cost_usd:.5f}]")
