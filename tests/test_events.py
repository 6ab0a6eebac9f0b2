"""The vocabulary: round trips, numbering, the committed schema."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentkit import events
from agentkit.events import CheckReport, Event, ModelResponded, from_dict, to_dict
from agentkit.log import EventLog, read
from agentkit.models.types import ToolCall, Usage
from agentkit.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio
SCHEMA = Path(__file__).parent.parent / "docs" / "events.schema.json"

EXAMPLES: dict[str, Any] = {
    "session_id": "s", "agent": "a", "version": "1", "rung": {"model": "m"}, "system": "x",
    "text": "t", "model": "m", "attempt": 1, "size": 10, "prefix": "p", "kind": "content",
    "error": "Stalled", "message": "m", "call_id": "c", "tool": "bash", "status": "done",
    "content": "c", "steps": ({"step": "s", "status": "done"},), "command": "true",
    "exit_code": 1, "output": "o", "allowed": True, "limit": "money", "used": 0.8,
    "data": {"a": 1}, "description": "d", "calls": (ToolCall("c", "bash", "{}"),),
    "usage": Usage(10, 4, 6, 3, 1),
}  # fmt: skip


SPECIAL: dict[type[Event], dict[str, Any]] = {
    events.SessionFinished: {
        "status": "finished",
        "data": None,
        "checks": (CheckReport(command="true", passed=True, exit_code=0),),
    },
    events.Folded: {"to": "main-2", "summary": "s", "events": 7},
    events.PrefixBroken: {"region": "tools", "cause": "forced", "tokens": 9, "price_usd": 0.1},
    events.SessionForked: {"parent": "other", "at": 9, "turn": 2},
    events.ModelChanged: {"served_before": "a", "served_now": "b"},
    events.ModelFailed: {"status": 503},
    events.LimitNear: {"allowed": 1.0},
    events.RunStarted: {"checks": ("true",)},
    events.Evidence: {"kind": "check-failed", "weight": 1.0, "sources": (3, 7)},
    events.RungChanged: {
        "from_rung": "a",
        "to_rung": "b",
        "form": "consult",
        "reason": "r",
        "prices": {"move": 0.1},
        "evidence": (9,),
    },
    events.RungSkipped: {"rung": "b", "reason": "r"},
    events.Waited: {"reason": "r", "seconds": 3.5},
    events.Checkpoint: {"id": "c1", "tree": "e3b0c4"},
    events.Restored: {"checkpoint": "c1", "paths": ("a.py",)},
}


def example(cls: type[Event]) -> Event:
    """An event of this kind with something in each field that an example is known for."""
    known = {each.name: EXAMPLES[each.name] for each in fields(cls) if each.name in EXAMPLES}
    return cls(**known | SPECIAL.get(cls, {}))


@pytest.mark.parametrize("cls", events.ALL, ids=lambda cls: cls.type)
def test_round_trip_and_schema(cls: type[Event]) -> None:
    event = replace(example(cls), seq=3 if cls.stored else None, time=events.now())
    written = json.loads(json.dumps(to_dict(event)))
    assert from_dict(written) == event
    assert list(written)[:4] == ["seq", "time", "type", "lane"]
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(written)  # pyright: ignore[reportUnknownMemberType]


def test_the_committed_schema_is_the_code_s() -> None:
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(events.json_schema())), (
        "run scripts/generate"
    )


def test_fields_of_a_later_version_are_passed_over() -> None:
    written = to_dict(example(events.Message)) | {"colour": "green"}
    assert from_dict(written) == example(events.Message)
    with pytest.raises(ValueError, match="unknown event type"):
        from_dict({"type": "no.such"})


@given(content=st.text(), reasoning=st.text(alphabet=st.characters()), name=st.text(max_size=5))
def test_any_text_survives_the_store(content: str, reasoning: str, name: str) -> None:
    import anyio

    async def scenario() -> None:
        store = MemoryStore()
        log = EventLog(store, "s")
        answer = ModelResponded(
            content=content + "\udc80", reasoning=reasoning, calls=(ToolCall("1", name, content),)
        )
        logged = log.append(answer)
        await log.commit()
        assert read(store, "s") == [logged]

    anyio.run(scenario)


async def test_seq_is_gap_free_and_watchers_see_only_what_is_durable() -> None:
    store = MemoryStore()
    log = EventLog(store, "s")
    with log.watch() as watch:
        log.append(events.Message(text="one"))
        log.append(events.Message(text="two"))
        assert watch.events.statistics().current_buffer_used == 0
        await log.commit()
        log.show(events.ModelDelta(kind="content", text="x"))
        watch.end()
        seen = [event async for event in watch.events]
    assert [event.seq for event in seen] == [1, 2, None]
    assert [row.seq for row in store.read("s")] == [1, 2]
