"""The vendor's own library takes every body that a whole agent sends, whatever happens to it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentkit import Agent, Ladder, ToolContext, ToolError, ToolResult, tool
from agentkit.errors import AgentkitError, ModelError
from agentkit.escalation.policy import Caps, Policy, Thresholds
from agentkit.events import ModelFailed, RungChanged, Steered, ToolFinished
from agentkit.forks import fork_session
from agentkit.ladder import FLASH, PRO
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.session import Session
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply

recipe: Any = pytest.importorskip("deepseek_recipe")

VERSIONS = {"DeepSeek-V4.1-Flash": "DeepseekV41Encoding", "DeepSeek-V4-Pro": "DeepseekV4Encoding"}
STRICT = recipe.ConversionOptions(reasoning_content_behavior=recipe.ReasoningContentBehavior.Reject)
DOCUMENTED = {
    "model", "messages", "thinking", "reasoning_effort", "max_tokens", "stream", "stream_options",
    "temperature", "top_p", "tools", "user_id",
}  # fmt: skip
FORMS = ("note", "retry", "consult", "re-plan", "hand-off", "move")
SEEN: Counter[str] = Counter()
"""What happened over all examples: a generator that never climbs proves nothing about climbing."""


class Impatient(RetryPolicy):
    """Tries again up to four times and never waits."""

    def wait(self, error: ModelError, attempt: int, waited: float, rng: Random) -> float | None:
        return None if super().wait(error, attempt, waited, rng) is None or attempt > 4 else 0.0


texts = st.text(max_size=20) | st.sampled_from(
    ["", " ", "\x00", "\ud800", "<｜User｜>", "</think>", "<｜DSML｜tool_calls>", "Done."]
)
calls = st.builds(
    Call,
    st.sampled_from(["look", "look", "write", "steer", "help", "fail", "leave", "no_such_tool"]),
    st.one_of(
        st.fixed_dictionaries({"text": texts | st.just("photo.png")}),
        st.sampled_from(['{"text": "cut', '{"text": "a",}', "{}", "", '{"text": 7}', "[1]"]),
    ),
    st.sampled_from(["", "", "same"]),
)
replies = st.builds(
    Reply,
    content=texts,
    reasoning=texts,
    calls=st.lists(calls, max_size=3),
    finish_reason=st.sampled_from([None] * 8 + ["length", "insufficient_system_resource"]),
)
faults = st.dictionaries(
    st.integers(1, 12),
    st.sampled_from(
        ["429-bare", "500", "503*9", "reset-arguments", "no-finish", "garbage", "400-context",
         "400-reasoning", "401", "402", "leak", "leak-broken", "empty", "same-ids", "aborted",
         "no-usage", "content-filter", "args-truncated"]
    ),
    max_size=3,
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """What the model says, what the provider does, and what the user does in between."""

    replies: list[Reply]
    faults: dict[int, str]
    form: Any
    rungs: tuple[Any, ...]
    acts: list[str]
    message: str
    stream: bool


stories = st.builds(
    Story,
    st.lists(replies, min_size=1, max_size=9),
    faults,
    st.sampled_from(FORMS),
    st.sampled_from([
        (FLASH, PRO),
        (replace(FLASH, thinking=False, temperature=0.3), replace(FLASH, effort="max")),
        (PRO, replace(FLASH, effort="low")),
    ]),
    st.lists(st.sampled_from(["go on", "resume", "no words", "fork", "undo"]), max_size=3),
    texts.filter(str.strip),
    st.booleans(),
)  # fmt: skip


@dataclass
class Player:
    """Acts a story out with a real agent."""

    story: Story
    server: FakeDeepSeek
    store: MemoryStore = field(default_factory=MemoryStore)
    session: Any = None

    def agent(self) -> Agent:
        policy = Policy(
            thresholds=Thresholds(note=0, retry=0, consult=0, replan=0, handoff=0, move=0),
            caps=Caps(consult=3, move=3),
            cool_down=0,
            forms=frozenset([self.story.form]),
        )
        return Agent(
            "a",
            tools=self.tools(),
            ladder=Ladder("two", self.story.rungs, policy),
            base_url=self.server.base_url,
            api_key="k",
            store=self.store,
            retry=Impatient(),
            user_id="tenant-7",
        )

    def tools(self) -> list[Any]:
        @tool(read_only=True)
        def look(text: str) -> str:
            """Show a file."""
            if text == "photo.png":
                raise ToolError("photo.png is an image, and this model reads only text")
            return text

        @tool
        def write(text: str) -> str:
            """Write a file."""
            return text * 3

        @tool
        async def steer(text: str) -> str:
            """The user speaks."""
            await self.session.steer(text or "Faster.")
            return ""

        @tool(read_only=True)
        def help(text: str) -> ToolResult:
            """Ask for help."""
            return ToolResult(f"asked: {text}", data={"evidence": "help-asked"})

        @tool
        def fail(text: str) -> str:
            """A tool with a bug."""
            raise LookupError(text)

        @tool
        async def leave(context: ToolContext, text: str) -> str:
            """The user presses Ctrl-C."""
            self.session.cancel()
            await anyio.sleep_forever()
            return text

        return [look, write, steer, help, fail, leave]

    async def play(self) -> None:
        name = "s"
        opened = await self.enter(name, resume=False)
        await self.work(self.story.message)
        for number, act in enumerate(self.story.acts):
            if act == "undo":
                try:
                    await opened.undo()
                    name = opened.id
                except AgentkitError:
                    continue
            elif act != "go on":
                await opened.__aexit__(None, None, None)
                if act == "fork":
                    fork_session(self.store, name, f"fork-{number}")
                    name = f"fork-{number}"
                opened = await self.enter(name, resume=True)
            await self.work("" if act == "no words" else f"And then {act}.")
        await opened.__aexit__(None, None, None)
        for each in ("s", name):
            self.count(each)

    async def enter(self, name: str, *, resume: bool) -> Session:
        self.session = self.agent().session(name, resume=resume)
        return await self.session.__aenter__()

    async def work(self, message: str) -> None:
        try:
            if self.story.stream:
                async for _ in self.session.stream(message):
                    pass
            else:
                await self.session.run(message)
        except AgentkitError as error:
            SEEN[type(error).__name__] += 1

    def count(self, name: str) -> None:
        for event in read(self.store, name):
            match event:
                case RungChanged():
                    SEEN[event.form] += 1
                case Steered() | ModelFailed():
                    SEEN[event.type] += 1
                case ToolFinished():
                    SEEN[event.status] += 1
                    SEEN["image refused"] += "is an image" in event.content
                case _:
                    pass
        SEEN.update(self.story.acts)


def judge(body: bytes) -> None:
    """The vendor takes it, and renders it, for both of its prompt encodings."""
    request = json.loads(body)
    assert set(request) <= DOCUMENTED
    for version, encoding in VERSIONS.items():
        asked = recipe.ChatCompletionRequest({**request, "model": version})
        conversation = asked.convert(STRICT).conversation
        assert getattr(recipe, encoding)().render_conversation(conversation).prompt


def told(form: str, act: str, fault: str) -> Story:
    """A story in which these three surely happen."""
    help, photo = Call("help", {"text": "?"}), Call("look", {"text": "photo.png"})
    first = Reply("", "", [photo, Call("steer", {"text": "Slowly."}), Call("fail", {"text": ""})])
    lost = Reply("", "hm", [Call("look", '{"text": "cut'), Call("nothing", "")])
    gone = Reply("", "", [Call("leave", {"text": ""}), help])
    steps = [first, lost, *[Reply("", "?", [help])] * 3, Reply("Half."), gone, Reply("All.")]
    return Story(steps, {3: fault}, form, (FLASH, PRO), [act, "resume"], "Work.", stream=False)


def consulted_twice() -> Story:
    """The adviser, who has no tools, asks for some, and is then asked again."""
    look = Call("look", {"text": ""})
    replies = [Reply(calls=[look]), Reply(), Reply(calls=[look] * 3), Reply(), Reply()]
    return Story(replies, {}, "consult", (FLASH, PRO), [], "Work.", stream=False)


TOLD = [
    consulted_twice(),
    told("note", "go on", "401"),
    told("retry", "resume", "500"),
    told("consult", "no words", "leak-broken"),
    told("re-plan", "fork", "empty"),
    told("hand-off", "undo", "reset-arguments"),
    told("move", "resume", "400-context"),
]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories)
def one_story(story: Story) -> None:
    left = list(story.replies)

    def answer(_request: dict[str, Any]) -> Reply:
        return left.pop(0) if left else Reply("Done.", "That is all.")

    with FakeDeepSeek(answer, faults=story.faults, exact=True) as server:
        anyio.run(Player(story, server).play)
    assert server.violations == []
    for sent in server.requests:
        judge(sent.raw)


for each in TOLD:
    one_story = example(each)(one_story)


def test_every_body_of_an_agent_is_accepted_by_the_vendor_in_both_encodings() -> None:
    one_story()
    wanted = {
        *FORMS, "step-down", "steered", "model.failed", "invalid", "failed", "cancelled",
        "image refused", "resume", "no words", "fork", "undo", "AuthenticationFailed",
    }  # fmt: skip
    assert not wanted - {name for name, times in SEEN.items() if times}, SEEN
