"""The options that ``run``, ``chat`` and ``resume`` share, declared once.

Their names are also those of ``agentkit.toml``, and what ``session.started`` keeps for a resume.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer


def _option(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was said; None is what was not."""

    workspace: Annotated[
        str | None, _option("--workspace", "DIR", "The folder to work on. [default: .]")
    ] = None
    workspace_mode: Annotated[
        str | None,
        _option(
            "--workspace-mode",
            "mount|copy",
            "Edit in place, or in a copy shown as a diff at the end. [default: mount]",
        ),
    ] = None
    sandbox: Annotated[
        str | None,
        _option("--sandbox", "docker|local|container:NAME", "Where tools run. [default: docker]"),
    ] = None
    image: Annotated[
        str | None,
        _option("--image", "IMAGE", "The sandbox image. [default: agentkit's base image]"),
    ] = None
    network: Annotated[
        str | None,
        _option(
            "--network",
            "none|open|allow:HOST,…",
            "What the sandbox may reach. [default: none]",
        ),
    ] = None
    preset: Annotated[
        str | None,
        _option("--preset", "minimal|coder", "System prompt and tools. [default: coder]"),
    ] = None
    ladder: Annotated[
        str | None,
        _option(
            "--ladder",
            "NAME|FILE",
            "The rungs: flash, pro, flash-pro, minimal or a TOML file. [default: flash-pro]",
        ),
    ] = None
    planner: Annotated[
        str | None,
        _option("--planner", "N", "Plan larger tasks on the ladder's Nth rung. [default: off]"),
    ] = None
    attempts: Annotated[
        int | None,
        _option("--attempts", "N", "Hand-offs made side by side in copies. [default: 1]"),
    ] = None
    off_peak_wait: Annotated[
        float | None,
        _option("--off-peak-wait", "SECONDS", "Wait so long for off-peak prices. [default: 0]"),
    ] = None
    model: Annotated[str | None, _option("--model", "NAME", "One model instead of a ladder.")] = (
        None
    )
    base_url: Annotated[
        str | None,
        _option("--base-url", "URL", "Another OpenAI-compatible endpoint. [default: DeepSeek]"),
    ] = None
    api_key_env: Annotated[
        str | None,
        _option("--api-key-env", "NAME", "The key's variable. [default: DEEPSEEK_API_KEY]"),
    ] = None
    dialect: Annotated[
        str | None,
        _option(
            "--dialect",
            "NAME",
            "How the endpoint wants to be asked: deepseek, openai, vllm-v4, vllm-v4.1, sglang-v4,"
            " llama.cpp, openai-reasoning. [default: by the model's name]",
        ),
    ] = None
    check: Annotated[
        list[str] | None,
        _option("--check", "CMD", "Must exit 0 in the sandbox before the end; may be repeated."),
    ] = None
    max_cost: Annotated[
        float | None, _option("--max-cost", "USD", "Limit of money. [default: 5]")
    ] = None
    max_turns: Annotated[
        int | None, _option("--max-turns", "N", "Limit of model answers. [default: 500]")
    ] = None
    max_tokens: Annotated[
        int | None, _option("--max-tokens", "N", "Limit of tokens, in and out. [default: none]")
    ] = None
    deadline: Annotated[
        float | None, _option("--deadline", "SECONDS", "Limit of time. [default: none]")
    ] = None
    approve: Annotated[
        str | None,
        _option(
            "--approve",
            "auto|ask|read-only|FILE",
            "What needs a yes; FILE is a TOML file of rules. [default: auto in docker, else ask]",
        ),
    ] = None
    mcp: Annotated[
        list[str] | None,
        _option(
            "--mcp",
            "NAME|FILE|none",
            "An MCP server of agentkit.toml, or all of a TOML file; may be repeated.",
        ),
    ] = None
    skills: Annotated[
        str | None,
        _option(
            "--skills",
            "all|user|none",
            "Whose skills the model is told of: the project's and yours, or yours. [default: all]",
        ),
    ] = None
    home: Annotated[
        str | None,
        _option(
            "--home",
            "DIR|URL",
            "Where sessions live: a folder, or a PostgreSQL database."
            " [default: AGENTKIT_STORE, AGENTKIT_HOME or ~/.agentkit]",
        ),
    ] = None


def takes(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a dataclass, in place of its parameter ``given``."""
    shared = get_type_hints(kind, include_extras=True)
    options = {each.name: each for each in fields(kind)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapper(**arguments: Any) -> None:
            given = kind(**{name: arguments.pop(name) for name in options})
            command(**arguments, given=given)

        own = get_type_hints(command, include_extras=True)
        parameters = [
            each.replace(annotation=own[each.name])
            for each in inspect.signature(command).parameters.values()
            if each.name != "given"
        ]
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=shared[name]
            )
            for name, each in options.items()
        ]
        parameters.sort(key=lambda each: each.kind)
        shown: Any = wrapper  # typer reads the signature there
        shown.__signature__ = inspect.Signature(parameters)
        shown.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapper

    return decorate


takes_options = takes(Options)
