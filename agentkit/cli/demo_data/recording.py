"""The model's side of the demo: answers from a file, each given only where it still fits."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from agentkit.errors import TaskFailed
from agentkit.events import ModelResponded
from agentkit.testing import Call, Reply

DATA = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    """One answer, and what the results before it must contain."""

    reply: Reply
    sees: tuple[str, ...]


@dataclass
class Recording:
    """A script for ``FakeDeepSeek`` that knows when the world went another way.

    It reads from each request how far the run is, so a request that is sent twice gets the same
    answer twice.
    """

    task: str
    answers: tuple[Answer, ...]
    departure: str = field(default="", init=False)
    """How the run left the recording; "" while it follows it."""

    @classmethod
    def load(cls, workdir: str) -> Recording:
        """The recording, for a workspace at that path in the sandbox."""
        data = tomllib.loads((DATA / "recording.toml").read_text(encoding="utf-8"))
        return cls(data["task"].strip(), tuple(_answer(each, workdir) for each in data["answer"]))

    def __call__(self, request: Mapping[str, Any]) -> Reply:
        """The answer to this request, or a few words where the recording has none."""
        messages: Sequence[Mapping[str, Any]] = request["messages"]
        given = [place for place, each in enumerate(messages) if each["role"] == "assistant"]
        number = len(given)
        seen = "\n".join(str(each["content"]) for each in messages[given[-1] + 1 if given else 0 :])
        if number >= len(self.answers):
            self.departure = f"all {number} answers are used up, and the run is not at its end"
        else:
            missing = [text for text in self.answers[number].sees if text not in seen]
            if not missing:
                return self.answers[number].reply
            self.departure = f"before answer {number + 1}, no result says {missing[0]!r}"
        return Reply("I have no answer to that.")

    async def stop_if_departed(self, _answer: ModelResponded) -> None:
        """Ends a run that left the recording; goes into ``Hooks.after_model``.

        Raises:
            TaskFailed: where and how it left.
        """
        if self.departure:
            raise TaskFailed(
                f"the run left the recording: {self.departure}",
                hint="What is on the screen is what really happened; the demo ends here",
            )


def _answer(data: Mapping[str, Any], workdir: str) -> Answer:
    calls = [
        Call(each["tool"], _placed(each["arguments"], workdir)) for each in data.get("call", ())
    ]
    reply = Reply(data.get("content", "").strip(), data.get("reasoning", "").strip(), calls)
    return Answer(reply, tuple(data.get("sees", ())))


def _placed(value: Any, workdir: str) -> Any:
    """The value with the workspace's path in its texts."""
    if isinstance(value, str):
        return value.replace("{workdir}", workdir)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _placed(each, workdir) for key, each in fields.items()}
    if isinstance(value, list):
        return [_placed(each, workdir) for each in cast("list[Any]", value)]
    return value
