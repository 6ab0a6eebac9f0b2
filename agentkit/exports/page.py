"""A session as one HTML page: nothing is fetched, nothing runs, all text is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from agentkit import events as e
from agentkit.state import State, replay

_LONGEST = 200_000
"""Characters of one text that are shown."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #2a7f3f; --bad: #c0392b }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
pre { font: 13px/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
      background: var(--soft); padding: .6rem; margin: .3rem 0; border-radius: 6px }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; padding-top: .8rem;
      border-top: 1px solid var(--line) }
table { border-collapse: collapse } td, th { text-align: left; padding: .1rem .8rem .1rem 0;
      vertical-align: top }
summary { cursor: pointer } details { margin: .3rem 0 } .dim { opacity: .65; font-weight: normal }
.user { border-left: 4px solid #3572b0; padding-left: .8rem }
.ours { border-left: 4px solid var(--line); padding-left: .8rem; opacity: .8 }
.good, .plus { color: var(--good) } .bad, .minus { color: var(--bad) } .hunk { color: #3572b0 }
""".strip()

_MARKS = {"completed": "✓", "done": "✓", "in_progress": "▸"}


def page(events: Sequence[e.Event], diffs: Mapping[int, str] | None = None) -> str:
    """The page.

    Args:
        diffs: by turn, the patch of what it changed.
    """
    state = replay(list(events))
    title = _title(events)
    body = "\n".join([*_head(events, state, title), *_story(events, diffs or {})])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _title(events: Sequence[e.Event]) -> str:
    task = next((x.text for x in events if isinstance(x, e.Message) and x.source == "user"), "")
    line = " ".join(task.split())
    return line[:100] + ("…" if len(line) > 100 else "") or "a session"


def _head(events: Sequence[e.Event], state: State, title: str) -> Iterator[str]:
    started, end = state.session, state.finished
    status = end.status if end else "open"
    yield f"<h1>{escape(title)}</h1>"
    rows = {
        "session": started.session_id if started else "",
        "agent": f"{started.agent}, agentkit {started.version}" if started else "",
        "workspace": started.workspace if started else "",
        "started": events[0].time if events else "",
        "status": f"{status}, exit code {end.exit_code}" if end else status,
        "turns": str(state.answers),
        "cost": _money(state.cost_usd, priced=state.priced),
        "tokens": f"{state.usage.prompt_tokens:,} in ({state.usage.hit_ratio:.1%} cached), "
        f"{state.usage.completion_tokens:,} out",
    }
    cells = (f"<tr><th>{key}<td>{escape(value)}</tr>" for key, value in rows.items() if value)
    yield f"<table>{''.join(cells)}</table>"
    if state.plan:
        yield f"<h2>Plan at last</h2>{_plan(state.plan)}"
    if state.checks:
        yield "<h2>Checks at last</h2><ul>"
        for check in state.checks.values():
            stale = ", stale" if check.command in state.stale else ""
            mark = "good" if check.passed else "bad"
            word = "passes" if check.passed else f"fails (exit code {check.exit_code})"
            command = f"<code>{escape(check.command)}</code>"
            yield f'<li>{command} <span class="{mark}">{word}{stale}</span>'
        yield "</ul>"


def _plan(steps: Sequence[Mapping[str, object]]) -> str:
    lines = (f"{_MARKS.get(str(step.get('status')), '○')} {step.get('step', '')}" for step in steps)
    return _text("\n".join(lines))


def _story(events: Sequence[e.Event], diffs: Mapping[int, str]) -> Iterator[str]:
    turn = 0
    for event in events:
        if isinstance(event, e.ModelResponded):
            if turn in diffs:
                yield _diff(turn, diffs[turn])
            turn += 1
            yield from _answer(event, turn)
        else:
            yield from _other(event)
    if turn in diffs:
        yield _diff(turn, diffs[turn])


def _answer(event: e.ModelResponded, turn: int) -> Iterator[str]:
    usage = event.usage
    facts = (
        f"{event.served_model or event.model} · lane {event.lane} · "
        f"{usage.prompt_tokens:,} in ({usage.hit_ratio:.0%} cached), {usage.completion_tokens:,}"
        f" out · {_money(event.cost_usd, priced=event.priced)} · {event.duration:.1f} s"
        f" · {event.time}"
    )
    yield f'<h2 id="turn-{turn}">Turn {turn} <span class="dim">{escape(facts)}</span></h2>'
    if event.reasoning:
        yield _folded("reasoning", event.reasoning)
    if event.content.strip():
        yield _text(event.content)


def _other(event: e.Event) -> Iterator[str]:  # noqa: C901, PLR0912, PLR0915 - flat
    match event:
        case e.LaneOpened():
            yield _folded(f"system prompt of lane {event.lane}", event.system)
        case e.Message() if event.source == "user":
            yield f'<div class="user">{_text(event.text)}</div>'
        case e.Message():
            yield f'<div class="ours">{_folded(f"note of {event.source}", event.text)}</div>'
        case e.Steered():
            yield f'<div class="user"><b>steered</b>{_text(event.text)}</div>'
        case e.ToolStarted():
            arguments = json.dumps(event.arguments, ensure_ascii=False, indent=1)
            command = event.arguments.get("command") if len(event.arguments) == 1 else None
            yield f"<b>{escape(event.tool)}</b>{_text(str(command or arguments))}"
        case e.ToolFinished():
            bad = ' class="bad"' if event.status != "done" else ""
            words = escape(f"{event.tool}: {event.status}, {event.duration:.2f} s")
            opened = " open" if len(event.content) < 600 else ""
            yield (
                f"<details{opened}><summary{bad}>{words}</summary>{_text(event.content)}</details>"
            )
        case e.PlanUpdated():
            yield f"<details open><summary>plan</summary>{_plan(event.steps)}</details>"
        case e.CheckPassed():
            yield f'<p class="good">✓ <code>{escape(event.command)}</code></p>'
        case e.CheckFailed():
            yield f'<p class="bad">✗ <code>{escape(event.command)}</code></p>{_text(event.output)}'
        case e.ModelFailed():
            yield f'<p class="bad">{escape(event.error)}: {escape(event.message)}</p>'
        case e.ModelAdvised():
            yield _folded("answer beside the history", event.content)
        case e.Evidence():
            yield f'<p class="dim">evidence: {escape(event.kind)} {escape(event.detail)}</p>'
        case e.RungChanged():
            words = f"{event.from_rung} → {event.to_rung} ({event.form}): {event.reason}"
            yield f"<p><b>rung</b> {escape(words)}</p>"
        case e.Restored():
            words = f"workspace put back to {event.checkpoint}: {event.changed} paths"
            yield f"<p>{escape(words)}</p>"
        case e.SessionForked():
            yield f"<p>{event.reason} of {escape(event.parent)} at turn {event.turn}</p>"
        case e.SessionFinished():
            mark = "good" if event.status == "finished" else "bad"
            yield f'<h2 class="{mark}">{escape(event.status)}</h2>{_text(event.output)}'
        case _:
            pass


def _diff(turn: int, patch: str) -> str:
    lines: list[str] = []
    for line in patch[:_LONGEST].split("\n"):
        kind = {"+": "plus", "-": "minus", "@": "hunk"}.get(line[:1], "")
        lines.append(f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line))
    return (
        f"<details open><summary>files changed in turn {turn}</summary>"
        f"<pre>{chr(10).join(lines)}</pre></details>"
    )


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{_text(content)}</details>"


def _text(content: str) -> str:
    if not content.strip():
        return ""
    more = len(content) - _LONGEST
    cut = f"\n… {more:,} characters more" if more > 0 else ""
    return f"<pre>{escape(content[:_LONGEST].rstrip())}{cut}</pre>"


def _money(cost_usd: float, *, priced: bool) -> str:
    return f"${cost_usd:.4f}" + ("" if priced else " and more, of unknown price")
