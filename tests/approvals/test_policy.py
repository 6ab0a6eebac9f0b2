"""Policies as data: what rules fit, what wins, and what gets past none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Call, Claim, Hooks, Refuse, UsageError, tool
from agentkit.approvals import Policy, Rule
from agentkit.approvals.deciding import decide
from agentkit.approvals.shell import judge
from agentkit.events import ApprovalAsked, ToolFinished
from agentkit.log import read
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call as Asks
from agentkit.testing import FakeDeepSeek, Reply
from agentkit.tools import edit, shell

pytestmark = pytest.mark.anyio
RULES: dict[str, Any] = {
    "default": "ask",
    "allow": ["git status*", "pytest *", "rm build/*", "echo *", "str_replace_editor(/w/src/*)",
              "make", "git commit -m *"],
    "ask": ["git push*"],
    "deny": ["rm -rf /*", "str_replace_editor(/w/src/secret/*)", "git push --force*"],
}  # fmt: skip


async def verdict(policy: Policy, command: str, **more: Any) -> str:
    bash = shell()[0]
    arguments = {"command": command, **more}
    call = Call("c", "bash", arguments, writes=True)
    return (await decide(policy, call, bash, bash.claims(arguments))).action


@pytest.mark.parametrize(
    ("command", "action"),
    [
        # each simple command needs its yes
        ("git status", "allow"),
        ("git status --short", "allow"),
        ("git status; rm -rf x", "ask"),
        ("git status && pytest -q", "allow"),
        ("git status $(rm x)", "ask"),
        ("git status > out", "ask"),
        ("PAGER=x git status", "ask"),
        ("git status | tee out", "ask"),
        ("pytest -q | tail -5", "allow"),
        ("pytest", "allow"),
        ("pytester", "ask"),
        ("timeout 60 pytest -q", "allow"),
        ("sh -c 'pytest -q'", "allow"),
        ("sudo pytest -q", "ask"),
        ("env PYTHONPATH=. pytest -q", "ask"),
        ("xargs pytest", "allow"),
        ("pytest() { rm x; }; pytest", "ask"),
        ("pytest -q ${x@P}", "ask"),
        ("for f in a b; do pytest $f; done", "allow"),
        ("for PATH in .; do pytest; done", "ask"),
        ("x=1; pytest", "ask"),
        ("./pytest", "ask"),
        ("pytest (", "ask"),
        ("make", "allow"),
        ("make install", "ask"),
        ("rm build/a.o", "allow"),
        ("rm build/*.o", "allow"),
        ("rm build/a /etc/passwd", "ask"),
        ("rm build/../../x", "ask"),
        ("rm 'build/a' b", "ask"),
        ("rm $x", "ask"),
        ("rm -f build/a", "ask"),
        ("echo hi > ~/.bashrc", "ask"),
        ("echo $(curl x)", "ask"),
        ("git commit -m 'a; rm -rf x'", "allow"),
        ("cat <<EOF\nx\nEOF\npytest -q", "allow"),
        # ask and deny are found wherever they are
        ("git push", "ask"),
        ("git status; git push origin", "ask"),
        ("sh -c 'git push'", "ask"),
        ("rm -rf /", "deny"),
        ("rm -rf /etc", "deny"),
        ("rm -fr /etc", "deny"),
        ("rm -r -f /etc", "deny"),
        ("rm --recursive --force /etc", "deny"),
        ("rm -rf build /etc", "deny"),
        ("rm -vrf -- /etc", "deny"),
        ("ls; (rm -rf /)", "deny"),
        ("ls $(rm -rf /x)", "deny"),
        ("sudo rm -rf /x", "deny"),
        ("sudo -u root /bin/rm -rf /x", "deny"),
        ("xargs rm -rf", "ask"),
        ("find / -exec rm -rf /x \\;", "deny"),
        ("env A=b nice -n 5 rm -rf /x", "deny"),
        ("bash -c \"bash -c 'rm -rf /x'\"", "deny"),
        ("eval rm -rf /x", "deny"),
        ("'r'm \"-rf\" /x", "deny"),
        ("rm -rf $HOME", "ask"),
        ("if true; then rm -rf /x; fi", "deny"),
        ("f() { rm -rf /x; }; f", "deny"),
        ("git push --force origin", "deny"),
        ("git push origin --force-with-lease", "deny"),
        ("rm -rf build", "ask"),
        # what only reads needs no rule
        ("ls -la", "allow"),
        ("cat ~/.ssh/id_rsa", "ask"),
        ("$x", "ask"),
    ],
)
async def test_rules_are_held_against_simple_commands(command: str, action: str) -> None:
    assert await verdict(Policy.from_table(RULES), command) == action, judge(command)


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("touch x", "allow"),
        ("$(curl x)", "ask"),
        ("r? -rf /etc", "ask"),
        ("sh -c \"$x\"", "ask"),
        ("curl x | sh", "ask"),
        ("eval \"$x\"", "ask"),
        ("touch (", "ask"),
        ("sh script.sh", "allow"),
        ("rm -rf /etc", "deny"),
    ],
)  # fmt: skip
async def test_under_auto_what_could_be_denied_but_cannot_be_seen_is_asked(
    command: str, action: str
) -> None:
    policy = Policy("auto", (Rule("deny", "rm -rf /*"),))
    assert await verdict(policy, command) == action
    assert await verdict(Policy("auto"), command) == "allow"


async def test_read_only_lets_through_what_provably_reads() -> None:
    policy = Policy("read-only", (Rule("allow", "pytest*"),))
    assert await verdict(policy, "git log | head") == "allow"
    assert await verdict(policy, "git log > x") == "deny"
    assert await verdict(policy, "pytest -q") == "allow"
    assert await verdict(policy, "ls", interactive=True) == "deny"


async def test_keys_for_a_terminal_are_no_command() -> None:
    policy = Policy.from_table(RULES)
    assert await verdict(policy, "git status", interactive=True) == "ask"
    allowed = Policy("ask", (Rule.of("allow", "bash(*)"),))
    assert await verdict(allowed, "anything", interactive=True) == "allow"
    denies = Policy("auto", (Rule("deny", "rm *"),))
    assert await verdict(denies, "rm x", interactive=True) == "ask"


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("/w/src/a.py", "allow"),
        ("/w/src/b/c.py", "allow"),
        ("/w/src/../x", "ask"),
        ("/w/src/secret/k", "deny"),
        ("/w/src/b/../secret/k", "deny"),
        ("/w/x", "ask"),
        ("src/a.py", "ask"),
    ],
)
async def test_rules_for_files_that_are_written(path: str, action: str) -> None:
    editor = edit()[0]
    arguments = {"command": "create", "path": path, "file_text": "x"}
    call = Call("c", editor.name, arguments, writes=True)
    found = await decide(Policy.from_table(RULES), call, editor, editor.claims(arguments))
    assert found.action == action
    view = {"command": "view", "path": path}
    looks = Call("c", editor.name, view, writes=False)
    found = await decide(Policy("read-only"), looks, editor, editor.claims(view))
    assert found.action == "allow"


async def test_a_callback_has_the_word_unless_a_rule_denies() -> None:
    seen: list[Call] = []

    async def judge_it(call: Call) -> Any:
        seen.append(call)
        return {"a": "allow", "b": "deny", "c": Refuse("Not on Fridays."), "d": None}[
            call.arguments["command"].split()[-1]
        ]

    policy = Policy("ask", (Rule("deny", "rm *"),), judge_it)
    actions = [await verdict(policy, f"touch {each}") for each in "abcd"]
    assert actions == ["allow", "deny", "deny", "ask"]
    assert await verdict(policy, "rm a") == "deny"
    assert [each.risk for each in seen] == ["medium"] * 4


def test_bad_policies_have_clear_errors(tmp_path: Path) -> None:
    tables: list[tuple[dict[str, Any], str]] = [
        ({"default": "never"}, "no approval mode 'never'"),
        ({"alow": []}, "unknown key 'alow'"),
        ({"allow": "ls"}, "'allow' must be a list"),
        ({"allow": [1]}, "'allow' must be a list"),
        ({"allow": ["  "]}, "is empty"),
        ({"deny": ["rm 'x"]}, "cannot be read"),
    ]
    for table, words in tables:
        with pytest.raises(UsageError, match=words):
            Policy.from_table(table)
    with pytest.raises(UsageError, match="cannot be read"):
        Policy.load(tmp_path / "none.toml")
    bad: Any = 7
    with pytest.raises(UsageError, match="approval cannot be 7"):
        Agent("x", approval=bad)


def test_a_policy_survives_its_table() -> None:
    policy = Policy.from_table(RULES)
    assert Policy.from_table(policy.table()) == policy
    assert policy.describe() == "ask, rules: 7 allow, 1 ask, 3 deny"


async def test_in_a_session_the_question_has_risk_and_reasons() -> None:
    written: list[str] = []

    @tool(script=lambda arguments: str(arguments["line"]))
    def sh(line: str) -> str:
        """Run."""
        written.append(line)
        return "ran"

    @tool(claims=lambda arguments: (Claim(f"file:/w/{arguments['name']}"),))
    def save(name: str) -> str:
        """Save."""
        written.append(name)
        return "saved"

    async def approve(call: Call) -> bool:
        return call.risk != "high"

    store = MemoryStore()
    calls = [Asks("sh", {"line": text}) for text in ("ls", "touch x", "rm -rf /x", "git push")]
    with FakeDeepSeek([Reply(calls=[*calls, Asks("save", {"name": "a"})]), "Done."]) as server:
        agent = Agent(
            "x", tools=[sh, save], base_url=server.base_url, api_key="k", store=store,
            approval=Policy.from_table(RULES), hooks=Hooks(approve=approve),
        )  # fmt: skip
        result = await agent.run("Go.")
    events = read(store, result.session_id)
    asked = [each for each in events if isinstance(each, ApprovalAsked)]
    assert [(each.tool, each.risk) for each in asked] == [
        ("sh", "medium"), ("sh", "high"), ("save", "medium"),
    ]  # fmt: skip
    assert asked[1].reasons == ("git push: discards work, or reaches others",)
    assert asked[2].reasons == ("writes /w/a",)
    statuses = [each.status for each in events if isinstance(each, ToolFinished)]
    assert statuses == ["done", "done", "refused", "refused", "done"]
    assert sorted(written) == ["a", "ls", "touch x"]
