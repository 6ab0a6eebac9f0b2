"""Tool calls written as text, in every spelling that was seen."""

from __future__ import annotations

import json

import pytest

from agentkit.models.leaks import leaked_markup, recover

V4 = (
    '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="bash">\n'
    '<｜DSML｜parameter name="command" string="true">ls -l</｜DSML｜parameter>\n'
    '<｜DSML｜parameter name="wait" string="false">3</｜DSML｜parameter>\n'
    "</｜DSML｜invoke>\n</｜DSML｜tool_calls>"
)
READABLE = {
    "V4": V4,
    "V4.1": V4.replace("｜DSML｜", "｜DSML｜ ").replace("tool_calls", "calls"),
    "V3.2": V4.replace("tool_calls", "function_calls"),
    "ASCII bars": V4.replace("｜", "|"),
    "misspelt opener": V4.replace("<｜DSML｜tool_calls>", "<｜DSML｜tool_call>", 1),
    "no opener": V4.replace("<｜DSML｜tool_calls>\n", ""),
    "plain closers": V4.replace("</｜DSML｜parameter>", "</parameter>").replace(
        "</｜DSML｜invoke>", "</invoke>"
    ),
    "R1": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n"
        '{"command": "ls -l", "wait": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    ),
    "V3.1": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>bash<｜tool▁sep｜>"
        '{"command": "ls -l", "wait": 3}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    ),
    "tagged": (
        '<tool_call>\n{"name": "bash", "arguments": {"command": "ls -l", "wait": 3}}\n</tool_call>'
    ),
}


@pytest.mark.parametrize("spelling", READABLE)
def test_an_unambiguous_leak_becomes_its_call(spelling: str) -> None:
    text = f"Let me look.\n\n{READABLE[spelling]}\n"
    assert leaked_markup(text)
    found = recover(text)
    assert found is not None
    before, calls = found
    assert before == "Let me look."
    assert [call.name for call in calls] == ["bash"]
    assert json.loads(calls[0].arguments) == {"command": "ls -l", "wait": 3}


def test_two_calls_keep_their_order_and_have_ids() -> None:
    second = V4.replace("ls -l", "pwd").partition("\n")[2]
    text = V4.removesuffix("\n</｜DSML｜tool_calls>") + "\n" + second
    found = recover(text)
    assert found is not None
    assert [json.loads(call.arguments)["command"] for call in found[1]] == ["ls -l", "pwd"]
    assert len({call.id for call in found[1]}) == 2


DOUBTFUL = {
    "cut": V4[:-40],
    "text behind": V4 + "\nand then I will stop.",
    "no kind": V4.replace(' string="true"', ""),
    "not JSON": V4.replace(">3<", ">three<"),
    "twice": V4.replace('name="wait"', 'name="command"'),
    "tags inside": V4.replace("ls -l", "ls <｜DSML｜invoke>"),
    "bare tag": "<｜DSML｜",
    "tagged, cut": '<tool_call>\n{"name": "bash", "argum',
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_where_there_is_doubt_it_is_marked_and_not_run(case: str) -> None:
    assert leaked_markup(DOUBTFUL[case])
    assert recover(DOUBTFUL[case]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "All tests pass.",
        "The model wrote `<｜DSML｜invoke>` as text.",
        f"For instance:\n```\n{V4}\n```\nThat is the format.",
        "if a < b and c > d: pass",
        "The <tool_call> tag is common.",
    ],
)
def test_talking_about_markup_is_no_leak(text: str) -> None:
    assert not leaked_markup(text)
    assert recover(text) is None
