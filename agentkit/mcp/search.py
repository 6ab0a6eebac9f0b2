"""``mcp_tools``: one tool of a fixed shape in the place of very many.

Each tool's description is read with every request. Where there are many, the model searches them by
words and calls what it has found; the prefix holds one small tool, whatever the servers offer.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agentkit.errors import ToolError
from agentkit.mcp.listing import Offered
from agentkit.models.tokens import estimate_tokens
from agentkit.tool import READS_ALL, Claim, Tool, ToolContext, ToolResult, schema_check

NAME = "mcp_tools"
MOST_TOOLS = 30
MOST_TOKENS = 6_000
"""Of all MCP tools together, as the model reads them with every request."""
_SHOWN = 6
"""Tools that a search gives with their arguments; names of more."""
_NAMED = 40
_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "search": {
            "type": "string",
            "description": "Words to look for; gives matching tools with their arguments.",
        },
        "call": {"type": "string", "description": "The tool to call, as a search named it."},
        "arguments": {"type": "object", "description": "The called tool's arguments."},
    },
    "additionalProperties": False,
}


def crowded(tools: Sequence[Offered], wishes: Mapping[str, bool | None]) -> set[str]:
    """Names of the tools that are put behind the search.

    Args:
        wishes: per server what its user wants; None leaves it to the numbers.
    """
    behind = {each.name for each in tools if wishes[each.server]}
    open_ = [each for each in tools if not wishes[each.server]]
    tokens = sum(
        estimate_tokens(f"{each.name} {each.description} {json.dumps(each.parameters)}")
        for each in open_
    )
    if len(open_) > MOST_TOOLS or tokens > MOST_TOKENS:
        behind |= {each.name for each in open_ if wishes[each.server] is None}
    return behind


def behind_search(tools: Sequence[Tool]) -> Tool:
    """The one tool that stands for these."""
    table = {each.name: each for each in tools}
    fits = schema_check(_PARAMETERS)

    def check(arguments: dict[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = dict(arguments)
        given["arguments"] = _parsed(arguments.get("arguments", {}))
        fits(given)
        if "call" not in given:
            if not str(given.get("search", "")).strip():
                raise ToolError("give `search`, or `call` with `arguments`")
            return given
        tool = table.get(given["call"])
        if tool is None:
            raise ToolError(_unknown(given["call"], table))
        try:
            return {**given, "arguments": tool.check(given["arguments"])}
        except ToolError as error:
            raise ToolError(f"{error}. {_shown(tool)}") from error

    def claims(arguments: dict[str, Any]) -> tuple[Claim, ...]:
        tool = table.get(str(arguments.get("call", "")))
        return (READS_ALL,) if tool is None else tool.claims(arguments["arguments"])

    async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        if "call" not in arguments:
            return ToolResult(_found(arguments["search"], table))
        return await table[arguments["call"]].run(context, arguments["arguments"])

    counts = Counter(name.split("__")[0] for name in table)
    servers = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    words = f"Search and call the {len(table)} tools of MCP servers: {servers}. Search first."
    return Tool(NAME, words, _PARAMETERS, run, check, claims)


def _parsed(arguments: Any) -> Any:
    """Arguments that came as a text of JSON, as models often send nested ones."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _words(text: str) -> set[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    return {each for each in re.split(r"[^a-z0-9]+", spaced.lower()) if len(each) > 1}


def _score(tool: Tool, wanted: set[str]) -> float:
    """A word in the name counts most, then in the description, then among the arguments."""
    properties = cast("Mapping[str, Any]", tool.parameters.get("properties", {}))
    places = ((tool.name, 3.0), (tool.description, 1.0), (" ".join(properties), 0.5))
    score = 0.0
    for text, weight in places:
        there = _words(text)
        score += weight * len(wanted & there)
        score += (
            weight
            / 2
            * sum(
                any(
                    word.startswith(each) or each.startswith(word)
                    for word in there
                    if len(word) > 2
                )
                for each in wanted - there
            )
        )
    return score


def _found(search: str, table: Mapping[str, Tool]) -> str:
    wanted = _words(search)
    scores = {name: _score(tool, wanted) for name, tool in table.items()}
    best = sorted((name for name in table if scores[name]), key=lambda name: (-scores[name], name))
    if not best:
        return f"Nothing fits {search!r}. {_names(sorted(table), 'There are')}"
    shown = "\n\n".join(_shown(table[name]) for name in best[:_SHOWN])
    rest = best[_SHOWN:]
    return f"{shown}\n\n{_names(rest, 'Also')}" if rest else shown


def _shown(tool: Tool) -> str:
    return f"{tool.name}: {tool.description}\narguments: {json.dumps(tool.parameters)}"


def _names(names: Sequence[str], lead: str) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{lead}: {', '.join(names[:_NAMED])}{more}."


def _unknown(name: str, table: Mapping[str, Tool]) -> str:
    from agentkit.models.arguments import nearest_name

    nearest = nearest_name(name, list(table))
    return f"there is no tool {name!r}." + (f" Did you mean {nearest!r}?" if nearest else "")
