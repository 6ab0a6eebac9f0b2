"""Scripted models that read what they are sent: what a story's weak and strong model are made of.

A story's model is a function from a ``View`` of the request to a ``Reply``. It must decide from
what stands in the request, as a model does: the weak one goes on failing until advice, a packet
or a new failure tells it something; nothing is played from a tape.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agentkit.testing import Call, Reply

Model = Callable[["View"], Reply]

THOUGHT = (
    "Let me think about what the task asks for, what the last result says about it, and which"
    " step brings me closer. I compare that with what I know of the files. "
)


@dataclass(frozen=True, slots=True)
class Done:
    """A call of this conversation, and what came of it."""

    name: str
    arguments: Mapping[str, Any]
    result: str


class View:
    """A request as a model would look at it."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.model = str(request.get("model", ""))
        self.effort = str(request.get("reasoning_effort", ""))
        messages = cast("Sequence[Mapping[str, Any]]", request.get("messages", ()))
        self.texts = [str(each.get("content") or "") for each in messages]
        self.told = [
            str(each.get("content") or "") for each in messages if each.get("role") == "user"
        ]
        self.asked = not request.get("tools")
        """No tools: this is a question, not work."""
        self.tools = [
            str(each["function"]["name"])
            for each in cast("Sequence[Mapping[str, Any]]", request.get("tools") or ())
        ]
        self.turns = sum(each.get("role") == "assistant" for each in messages)
        self.calls = list(_calls(messages))

    @property
    def last(self) -> str:
        """The last thing that was said to the model."""
        return self.texts[-1] if self.texts else ""

    @property
    def taken_over(self) -> bool:
        """The first words are a packet of somebody who got stuck."""
        return any("take over" in text for text in self.told[:2])

    def heard(self, *words: str) -> bool:
        """Whether one text that was said to the model, results included, holds all of them."""
        return any(all(word in text for word in words) for text in self.texts)

    def advised(self, *words: str) -> bool:
        """Whether somebody told it, in words of their own and not as a result of a call."""
        return any(all(word in text for word in words) for text in self.told[1:])

    def did(self, words: str) -> int:
        """How many calls had these words in their arguments."""
        return sum(words in json.dumps(each.arguments) for each in self.calls)

    def saw(self, words: str) -> bool:
        """Whether the result of some call held these words."""
        return any(words in each.result for each in self.calls)


def _calls(messages: Sequence[Mapping[str, Any]]) -> list[Done]:
    results = {
        str(each.get("tool_call_id")): str(each.get("content") or "")
        for each in messages
        if each.get("role") == "tool"
    }
    out: list[Done] = []
    for message in messages:
        for call in cast("Sequence[Mapping[str, Any]]", message.get("tool_calls") or ()):
            function = cast("Mapping[str, Any]", call["function"])
            out.append(
                Done(
                    str(function["name"]),
                    _object(str(function["arguments"])),
                    results.get(str(call["id"]), ""),
                )
            )
    return out


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {"text": text}
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {"text": text}


def think(words: str, tokens: int = 500) -> str:
    """Reasoning of about so many tokens (four bytes each) that begins with these words."""
    text = words + " "
    while len(text) < 4 * tokens:
        text += THOUGHT
    return text[: 4 * tokens]


def bash(command: str, why: str = "Let me run this.") -> Reply:
    """Run a command."""
    return Reply(reasoning=think(why), calls=[Call("bash", {"command": command})])


def replace(path: str, old: str, new: str, why: str = "This is the place to change.") -> Reply:
    """Edit a file."""
    arguments = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
    return Reply(reasoning=think(why), calls=[Call("str_replace_editor", arguments)])


def view(path: str, why: str = "I read this file.") -> Reply:
    """Read a file."""
    arguments = {"command": "view", "path": path}
    return Reply(reasoning=think(why), calls=[Call("str_replace_editor", arguments)])


def write(path: str, text: str, why: str = "I write the file anew.") -> Reply:
    """Write a whole file, whether it is there or not."""
    command = f"cat > {path} <<'END_OF_FILE'\n{text.rstrip()}\nEND_OF_FILE"
    return bash(command, why)


def finish(summary: str, achieved: bool = True) -> Reply:
    """Say that it is over."""
    arguments = {"summary": summary, "achieved": achieved}
    return Reply(reasoning=think("It is done.", 200), calls=[Call("finish", arguments)])


def say(text: str, tokens: int = 800) -> Reply:
    """Answer in words."""
    return Reply(content=text, reasoning=think("I answer.", tokens))
