"""The table of commands. A command's module is imported when the command is used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "run": ("run", "Run one task to its end."),
    "chat": ("chat", "An interactive session."),
    "resume": ("resume", "Go on after a stop, a crash, or with a new message."),
    "sessions": ("sessions", "List, show, export, check and delete sessions."),
    "serve": ("serve", "Serve sessions over HTTP: on loopback, with a token."),
    "acp": ("acp", "Speak the Agent Client Protocol, for editors."),
    "mcp": ("mcp", "Offer an agent as an MCP server, over standard input and output."),
    "eval": ("eval", "Run a set of tasks (Harbor layout) and report."),
    "models": ("models", "Models: names, prices now and when they change, what is served."),
    "sandbox": ("sandbox", "Build the sandbox image, list and prune sandboxes."),
    "doctor": ("doctor", "What works here, and how to mend what does not."),
    "demo": ("demo", "Watch it fix a real bug in a real sandbox; needs no key."),
}
"""Command: its module in this package, which has a function or an app of that name; its help."""


class Commands(TyperGroup):
    """Finds a command by importing its module."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            return args[0], self.get_command(ctx, args[0]), args[1:]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _load(name: str) -> Any:
    module, text = COMMANDS[name]
    found = getattr(import_module(f"agentkit.cli.{module}"), name)
    if not isinstance(found, typer.Typer):
        single = new_app()
        single.command(name, help=None if found.__doc__ else text)(found)
        found = single
    command: Any = typer.main.get_command(found)
    command.name = name
    return command


def new_app(**settings: Any) -> typer.Typer:
    """A typer app with our settings: plain help and errors, no completion machinery."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"agentkit {version('agentkit-deepseek')}")
        raise typer.Exit


_HELP = """Terminal and coding agents on DeepSeek models: sandboxed, resumable, at the lowest cost.

\b
agentkit run "Make the tests pass" --check "pytest -q"
agentkit demo
"""

app = new_app(cls=Commands, no_args_is_help=True)


@app.callback(help=_HELP)
def agentkit(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options of the program itself."""


def run_app() -> int:
    """Run the command that ``sys.argv`` names and give its exit code."""
    try:
        app(prog_name="agentkit")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer's own answer is exit code 1
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    sys.stdout.flush()
    return 0
