"""Plans, checks and subagents in real sessions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import Agent, Ladder, Limits, tool
from agentkit import checks as checks_module
from agentkit import events as e
from agentkit.escalation.planning import is_trivial
from agentkit.sandboxes import Local
from agentkit.testing import Call, Reply, assert_prefix_stable
from agentkit.tools import coder

from .stage import CHECK, PRO, answers, bash, call, finish, play, texts, write

pytestmark = pytest.mark.anyio

ONE = Ladder.single("deepseek-flash")
LARGE = "Write the answer.\n\n- into answer.txt\n- and nothing else"


def is_planner(request: dict[str, Any]) -> bool:
    return request["messages"][0]["content"].startswith("You plan work")


def is_reviewer(request: dict[str, Any]) -> bool:
    return request["messages"][0]["content"].startswith("You review work")


def planned(*plan: Reply, worker: Any = None) -> Any:
    """A planner with these answers, and a worker that does it at once."""

    def answer(request: dict[str, Any]) -> Reply:
        if is_planner(request):
            return plan[min(answers(request), len(plan) - 1)]
        if worker is not None:
            return worker(request)
        return finish() if answers(request) else write(42)

    return answer


def submit(*steps: dict[str, Any], facts: tuple[str, ...] = ("answer.txt is missing",)) -> Reply:
    return call("submit_plan", steps=list(steps), facts=list(facts), candidates=["it is 42"])


STEP = {"step": "answer.txt holds 42", "files": ["answer.txt"], "check": "grep -qx 42 answer.txt"}


async def test_a_planner_reads_and_hands_over_what_it_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The answer is in the stars.\n")
    view = call("str_replace_editor", command="view", path="notes.txt")
    told = await play(
        tmp_path, planned(view, submit(STEP)), ONE, task=LARGE, checks=(), planner=PRO
    )
    assert told.result.ok
    assert told.models[:2] == ["deepseek-v4-pro"] * 2
    (plan,) = told.of(e.PlanUpdated)
    assert (plan.author, plan.steps[0]["check"]) == ("planner", STEP["check"])
    first = next(x.body for x in told.server.requests if x.body["model"] == "deepseek-flash")
    handed = texts(first)[-1]
    for words in ("answer.txt holds 42", "in the stars", "<verified>", "<unverified>"):
        assert words in handed
    tools = {each["function"]["name"] for each in told.server.requests[0].body["tools"]}
    assert tools == {"search", "str_replace_editor", "submit_plan"}, "tools that only read"
    assert [each.command for each in told.result.checks] == [STEP["check"]], "steps are required"
    assert_prefix_stable(told.server)


async def test_the_deadline_holds_for_planning_too(tmp_path: Path) -> None:
    @tool(read_only=True)
    async def read_slowly() -> str:
        """Takes longer than there is time."""
        await anyio.sleep(30)
        return "at last"

    slow = planned(call("read_slowly"))
    tools, limits = [*coder(), read_slowly], Limits(deadline=2)
    told = await play(
        tmp_path, slow, ONE, task=LARGE, checks=(), planner=PRO, tools=tools, limits=limits
    )
    assert (told.result.status, told.result.exit_code) == ("limit", 3)
    assert "deadline" in told.result.output
    assert told.result.duration < 10
    assert told.models == ["deepseek-v4-pro"], "the work on it did not begin"


async def test_a_planner_cannot_write(tmp_path: Path) -> None:
    edit = call("str_replace_editor", command="create", path="x", file_text="x")
    told = await play(
        tmp_path, planned(edit, submit(STEP)), ONE, task=LARGE, checks=(), planner=PRO
    )
    assert told.result.ok
    assert not (tmp_path / "x").exists()
    assert told.of(e.ToolFinished)[0].status == "refused"


async def test_a_trivial_task_is_not_planned_and_asks_nobody(tmp_path: Path) -> None:
    told = await play(tmp_path, planned(), ONE, planner=PRO)
    assert told.result.ok
    assert told.models == ["deepseek-flash"] * 2
    assert is_trivial("Fix the typo in README.md.")
    assert not is_trivial(LARGE)
    assert not is_trivial("x" * 1000)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param((Reply("First I would look around."),), id="prose"),
        pytest.param((submit(),), id="no steps"),
        pytest.param((submit(*[STEP] * 500), submit(facts=("too small",))), id="500 steps"),
        pytest.param((call("submit_plan", steps="all"), submit(facts=("none",))), id="malformed"),
    ],
)
async def test_work_goes_on_without_a_usable_plan(tmp_path: Path, plan: tuple[Reply, ...]) -> None:
    told = await play(tmp_path, planned(*plan), ONE, task=LARGE, planner=PRO)
    assert told.result.ok
    assert told.of(e.PlanUpdated) == []
    if "prose" in str(plan[0].content) or plan[0].content:
        assert "it gave no plan" in told.of(e.RungSkipped)[0].reason


async def test_a_step_is_done_only_when_its_check_passes(tmp_path: Path) -> None:
    def step(status: str) -> Reply:
        steps = [{"step": "write", "status": status, "check": "test -e done.txt"}]
        return call("plan", steps=steps)

    script = [step("in_progress"), step("done"), bash("touch done.txt"), step("done"), finish()]
    told = await play(tmp_path, script, ONE, checks=())
    assert told.result.ok
    assert [each.steps[0]["status"] for each in told.of(e.PlanUpdated)] == [
        "in_progress",
        "in_progress",
        "done",
    ]
    refused = told.of(e.ToolFinished)[1]
    assert (refused.status, "Step 1 is not done" in refused.content) == ("failed", True)


async def test_a_statement_is_judged_by_a_request_of_its_own(tmp_path: Path) -> None:
    statement = "review: the answer is a number"

    def script(request: dict[str, Any]) -> Reply:
        if is_reviewer(request):
            assert "tools" not in request
            packet = "\n".join(texts(request))
            return Reply("YES. It is." if "+42" in packet else "NO: it is a word.")
        steps = [write("many"), finish(), write(42), finish()]
        return steps[answers(request)]

    told = await play(tmp_path, script, ONE, checks=[statement])
    assert told.result.ok
    failed = told.of(e.CheckFailed)[0]
    assert (failed.ran, "it is a word" in failed.output) == (True, True)
    assert told.of(e.CheckPassed)[0].output
    assert_prefix_stable(told.server)


@pytest.mark.parametrize(("between", "judged"), [("true", 1), ("echo 43 > other.txt", 2)])
async def test_a_confirmed_statement_is_judged_again_only_on_another_tree(
    tmp_path: Path, between: str, judged: int
) -> None:
    """A command that the model runs after it makes it stale; on the same tree its yes holds."""
    statement = "review: the answer is a number"
    step = {"step": "write", "check": statement}

    def script(request: dict[str, Any]) -> Reply:
        if is_reviewer(request):
            return Reply("YES. It is.")
        steps = [
            write(42),
            call("plan", steps=[{**step, "status": "done"}]),
            bash(between),
            finish(),
        ]
        return steps[answers(request)]

    told = await play(tmp_path, script, ONE, checks=["test -e answer.txt"])
    assert told.result.ok
    assert sum(is_reviewer(x.body) for x in told.server.requests) == judged
    assert [each.passed for each in told.result.checks] == [True, True]
    commands = [x for x in told.of(e.CheckPassed) if x.command == "test -e answer.txt"]
    assert len(commands) == 1


@pytest.mark.parametrize("words", ["Hard to say.", "Yesterday it did not.", "Nobody can tell."])
async def test_a_reviewer_without_a_verdict_is_not_a_yes(tmp_path: Path, words: str) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return Reply(words) if is_reviewer(request) else finish()

    told = await play(tmp_path, script, ONE, checks=["review: all is well"])
    assert told.result.status == "failed"
    assert told.of(e.CheckFailed)[0].ran is False


async def test_a_check_that_changes_files_is_noticed_and_the_others_run_again(
    tmp_path: Path,
) -> None:
    checks = ["test ! -e made.txt || grep -q made made.txt", "echo made > made.txt"]
    told = await play(tmp_path, [finish()], ONE, checks=checks)
    assert told.result.ok
    passed = told.of(e.CheckPassed)
    assert [each.changed for each in passed if each.command == checks[1]] == [("made.txt",)]
    assert len([each for each in passed if each.command == checks[0]]) == 2
    assert all(each.on for each in told.result.checks)


async def test_a_check_that_hangs_fails_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_module, "TIMEOUT", 0.5)
    check = "test -e quick || sleep 60"
    told = await play(tmp_path, [finish(), bash("touch quick"), finish()], ONE, checks=[check])
    assert told.result.ok
    assert "ended by timeout" in told.of(e.CheckFailed)[0].output


async def test_a_check_that_prints_100_mb_is_stopped_and_said_so(tmp_path: Path) -> None:
    check = "test -e quiet || head -c 100000000 /dev/zero | tr '\\0' x"
    told = await play(tmp_path, [finish(), bash("touch quiet"), finish()], ONE, checks=[check])
    assert told.result.ok
    (failed,) = told.of(e.CheckFailed)
    assert "Make it quieter" in failed.output
    assert len(failed.output) < 8_000


def delegated(*own: Reply, **order: Any) -> Any:
    """A lane that gives a task away, and a subagent with these answers."""

    def answer(request: dict[str, Any]) -> Reply:
        said = "\n".join(texts(request))
        if "You are a subagent" in said:
            begun = next(
                number
                for number, message in enumerate(request["messages"])
                if "You are a subagent" in str(message.get("content"))
            )
            later = request["messages"][begun:]
            return own[sum(message["role"] == "assistant" for message in later)]
        return finish() if answers(request) else call("task", prompt="Look.", **order)

    return answer


async def test_a_subagent_that_only_reads_cannot_write(tmp_path: Path) -> None:
    tries = bash("touch forbidden"), Reply("Nothing is there.")
    told = await play(tmp_path, delegated(*tries), ONE, checks=())
    assert told.result.ok
    assert not (tmp_path / "forbidden").exists()
    result = next(each for each in told.of(e.ToolFinished) if each.tool == "task")
    assert (result.content, result.lane) == ("Nothing is there.", "main")
    assert told.result.turns == len(told.server.requests) == 4
    assert told.result.cost_usd == pytest.approx(told.server.bill.usd), "its cost counts"
    assert_prefix_stable(told.server)


async def test_a_subagent_writes_only_what_its_call_names(tmp_path: Path) -> None:
    def create(name: str) -> Call:
        arguments = {"command": "create", "path": str(tmp_path / name), "file_text": "x\n"}
        return Call("str_replace_editor", arguments)

    tries = Reply(calls=[create("mine/a"), create("other")]), Reply("Written.")
    told = await play(tmp_path, delegated(*tries, writes=[str(tmp_path / "mine")]), ONE, checks=())
    assert (tmp_path / "mine" / "a").exists()
    assert not (tmp_path / "other").exists()
    assert told.result.ok


async def test_a_subagent_in_a_copy_brings_its_changes_home(tmp_path: Path) -> None:
    tries = bash("echo copied > from_copy"), Reply("Done there.")
    told = await play(tmp_path, delegated(*tries, in_copy=True), ONE, checks=())
    assert (tmp_path / "from_copy").read_text() == "copied\n"
    result = next(each for each in told.of(e.ToolFinished) if each.tool == "task")
    assert "from_copy" in result.content


async def test_a_subagent_that_knows_all_starts_warm(tmp_path: Path) -> None:
    told = await play(tmp_path, delegated(Reply("I see."), knows_all=True), ONE, checks=())
    assert told.result.ok
    main, child = told.server.requests[0].body, told.server.requests[1].body
    assert child["messages"][: len(main["messages"])] == main["messages"]
    assert child["tools"] == main["tools"]


async def test_subagents_have_none_of_their_own(tmp_path: Path) -> None:
    tries = call("task", prompt="Deeper."), Reply("Not possible.")
    told = await play(tmp_path, delegated(*tries), ONE, checks=())
    inner = next(each for each in told.of(e.ToolFinished) if each.lane == "task-1")
    assert "cannot start subagents" in inner.content


OPEN = {"step": "do it", "status": "in_progress", "check": "test -e done"}


def beside_a_plan(*own: Reply, **order: Any) -> Any:
    """A lane with a plan, whose step has a check, that gives a task away before it does it."""
    delegate = delegated(*own, **order)

    def answer(request: dict[str, Any]) -> Reply:
        if "You are a subagent" in "\n".join(texts(request)):
            return delegate(request)
        steps = [call("plan", steps=[OPEN]), call("task", prompt="Look.", **order), finish()]
        return [*steps, bash("touch done"), finish()][answers(request)]

    return answer


async def test_a_subagent_ends_while_checks_of_the_plan_still_fail(tmp_path: Path) -> None:
    told = await play(tmp_path, beside_a_plan(Reply("It is in a.txt.")), ONE, checks=())
    result = next(each for each in told.of(e.ToolFinished) if each.tool == "task")
    assert (result.status, result.content) == ("done", "It is in a.txt.")
    assert {each.lane for each in told.of(e.CheckFailed)} == {"main"}
    assert told.result.ok


async def test_a_subagents_plan_takes_no_check_from_the_sessions(tmp_path: Path) -> None:
    own = call("plan", steps=[{"step": "look", "status": "done"}]), Reply("Nothing.")
    told = await play(tmp_path, beside_a_plan(*own), ONE, checks=())
    assert told.result.ok
    assert (tmp_path / "done").exists(), "the first finish was refused"
    assert [(each.command, each.passed) for each in told.result.checks] == [("test -e done", True)]
    assert [each.steps for each in told.of(e.PlanUpdated)] == [(OPEN,)]


@pytest.mark.parametrize("knows_all", [False, True])
async def test_what_passed_in_a_copy_that_was_given_up_says_nothing_of_the_workspace(
    tmp_path: Path, knows_all: bool
) -> None:
    own = (
        bash("echo 42 > answer.txt; rm kept"),
        call("plan", steps=[{"step": "write", "status": "done", "check": CHECK}]),
        finish("It does not hold.", achieved=False),
    )
    delegate = delegated(*own, in_copy=True, knows_all=knows_all)

    def script(request: dict[str, Any]) -> Reply:
        if "You are a subagent" in "\n".join(texts(request)):
            return delegate(request)
        first = bash("echo 1 > answer.txt; touch kept")
        away = call("task", prompt="Try.", in_copy=True, knows_all=knows_all)
        return [first, away, finish(achieved=False)][answers(request)]

    told = await play(tmp_path, script, ONE)
    assert [each.lane for each in told.of(e.CheckPassed)] == ["task-1"]
    assert told.result.status == "failed"
    assert [each.passed for each in told.result.checks] == [False]
    assert (tmp_path / "answer.txt").read_text() == "1\n", "nothing of the copy was brought home"
    assert (tmp_path / "kept").exists()


async def test_an_agent_as_a_tool_of_another(tmp_path: Path) -> None:
    expert = Agent("expert eye", "You judge colours.", tools=coder()[1:3], ladder=ONE)

    def script(request: dict[str, Any]) -> Reply:
        if request["messages"][0]["content"] == "You judge colours.":
            return Reply("It is blue.")
        return finish() if answers(request) else call("expert-eye", prompt="Which colour?")

    told = await play(tmp_path, script, ONE, checks=(), tools=[*coder(), expert.as_tool()])
    assert told.result.ok
    result = next(each for each in told.of(e.ToolFinished) if each.tool == "expert-eye")
    assert result.content == "It is blue."


async def test_a_planner_that_cannot_be_reached_does_not_end_the_work(tmp_path: Path) -> None:
    gone = replace(PRO, base_url="http://127.0.0.1:9")
    told = await play(tmp_path, planned(), ONE, task=LARGE, planner=gone)
    assert told.result.ok
    assert told.of(e.RungSkipped)
    assert Local(workspace=str(tmp_path)).workspace
