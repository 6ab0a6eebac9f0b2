"""What a command works with: options, project file, a stored session and defaults, in layers."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from agentkit.errors import UsageError
from agentkit.hooks import Approval
from agentkit.ladder import DIALECTS

if TYPE_CHECKING:
    from agentkit.approvals.policy import Policy
    from agentkit.cli.options import Options

PROJECT_FILE = "agentkit.toml"
URL_VARIABLE = "AGENTKIT_BASE_URL"

Mode = Literal["mount", "copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything decided."""

    workspace: str = "."
    workspace_mode: Mode = "mount"
    sandbox: str = "docker"
    image: str = ""
    network: str = "none"
    preset: str = "coder"
    ladder: str = "flash-pro"
    planner: str = ""
    attempts: int = 1
    off_peak_wait: float = 0.0
    model: str = ""
    base_url: str = ""
    api_key_env: str = ""
    dialect: str = ""
    skills: str = "all"
    check: tuple[str, ...] = ()
    max_cost: float = 5.0
    max_turns: int = 500
    max_tokens: int | None = None
    deadline: float | None = None
    approve: str | Mapping[str, Any] = "auto"
    """A mode, or a policy as ``Policy.from_table`` takes it: a file is read once, at the start."""
    home: str = ""
    models: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Facts of models on top of the catalogue's: ``[models.NAME]`` of the project file."""
    mcp: tuple[str, ...] | None = None
    """MCP servers: names out of the project file, or files; None where nothing was said."""
    mcp_seen: Mapping[str, str] | None = None
    """What those were when the session began; None before it does."""
    project_file: str = ""
    from_project: tuple[str, ...] = ()
    """Names of the settings that the project file decided."""

    def kept(self) -> dict[str, Any]:
        """What ``session.started`` keeps: all that a resume needs, and no secret."""
        kept = asdict(self)
        kept["check"] = list(self.check)
        kept["models"] = _dates_as_text(kept["models"])
        kept["from_project"] = list(self.from_project)
        del kept["home"]
        return kept


def _dates_as_text(value: Any) -> Any:
    """TOML has dates, and the log, which is JSON, has none; the catalogue reads both."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return {name: _dates_as_text(each) for name, each in table.items()}
    if isinstance(value, list):
        return [_dates_as_text(each) for each in cast("list[Any]", value)]
    return value


def settle(given: Options, stored: Mapping[str, Any] | None = None) -> Settings:
    """The command line's word first, then the stored session's or else the project file's.

    A session is frozen when it starts, so the project file has no say in a resumed one.

    Raises:
        UsageError: an unknown key or value; a folder that is not there.
    """
    said = {key: value for key, value in _said(given).items() if value is not None}
    if stored is not None:
        below = _stored(stored, said)
        theirs = set(below.get("from_project", ()))
    else:
        below = _project(said)
        theirs = below.keys() & _OF_A_PROJECT
    layers = {**below, **said}
    layers["from_project"] = tuple(sorted(theirs - said.keys()))
    if "mcp" in said:
        layers.pop("mcp_seen", None)
    if str(said.get("ladder", "")).endswith(".toml"):  # a resume may start from another directory
        layers["ladder"] = str(Path(said["ladder"]).absolute())
    if layers.get("mcp") is not None:
        layers["mcp"] = tuple(layers["mcp"])
    if "model" in said and "ladder" not in said:
        layers.pop("ladder", None)
    layers["check"] = tuple(layers.get("check") or ())
    layers.setdefault("sandbox", "docker")
    layers.setdefault("approve", "auto" if layers["sandbox"] == "docker" else "ask")
    layers["approve"] = _policy(layers["approve"])
    settings = Settings(**layers)
    _validate(settings)
    return settings


def _stored(stored: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What the session began with. What was allowed in a container is not allowed on the host."""
    below = {key: value for key, value in stored.items() if key in _KNOWN}
    if below.get("sandbox") == "docker" and said.get("sandbox", "docker") != "docker":
        if "approve" in below and _loosens(below):
            del below["approve"]
        if "check" in below.get("from_project", ()):
            checks = {"check": below.get("check", [])}
            _keep_host_safe(checks, said, below.get("project_file", ""))
    return below


_KNOWN = {each.name for each in fields(Settings)}
_OF_A_PROJECT = _KNOWN - {"home", "project_file", "from_project", "mcp_seen"}


def _said(given: Options) -> dict[str, Any]:
    said = {each.name: getattr(given, each.name) for each in fields(given)}
    for name in ("check", "mcp"):
        said[name] = said[name] or None
    return said


def _validate(settings: Settings) -> None:
    _one_of("--workspace-mode", settings.workspace_mode, get_args(Mode))
    _one_of("--skills", settings.skills, ("all", "user", "none"))
    if settings.dialect:
        _one_of("--dialect", settings.dialect, DIALECTS)
    kind, _, name = settings.sandbox.partition(":")
    if settings.sandbox not in ("docker", "local") and not (kind == "container" and name):
        raise UsageError(
            f"there is no sandbox {settings.sandbox!r}",
            hint="Choose docker, local or container:NAME",
        )
    if settings.network not in ("none", "open"):
        _check_allow(settings.network)
    if settings.planner and not settings.planner.isdecimal():
        raise UsageError(
            f"--planner cannot be {settings.planner!r}", hint="Give the number of a rung, from 1"
        )
    if not 1 <= settings.attempts <= 16:
        raise UsageError(f"--attempts must be from 1 to 16, not {settings.attempts}")
    if not settings.off_peak_wait >= 0:
        raise UsageError(
            f"--off-peak-wait must be 0 seconds or more, not {settings.off_peak_wait:g}"
        )
    if settings.base_url:
        require_url(settings.base_url, "--base-url")
    elif url := os.environ.get(URL_VARIABLE):
        require_url(url, URL_VARIABLE)
    if any(not command.strip() for command in settings.check):
        raise UsageError("a --check is empty", hint="Give a command, or leave it out")
    if settings.image and settings.sandbox != "docker":
        raise UsageError(
            f"--image means nothing with --sandbox {settings.sandbox}", hint="Leave one out"
        )


def policy_of(approve: str | Mapping[str, Any]) -> Policy:
    """The approval policy of these settings.

    Raises:
        UsageError: it is none.
    """
    from agentkit.approvals.policy import Policy

    if isinstance(approve, str):
        return Policy.of(cast("Approval", approve))
    return Policy.from_table(approve, "approve")


def _policy(approve: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """The mode, or the policy of a file as data: a resumed session has the one it began with."""
    from agentkit.approvals.policy import Policy

    if isinstance(approve, str) and approve not in get_args(Approval):
        if not approve.endswith(".toml") and not Path(approve).expanduser().is_file():
            raise UsageError(
                f"--approve cannot be {approve!r}",
                hint="Choose auto, ask or read-only, or name a TOML file of rules",
            )
        return Policy.load(approve).table()
    return policy_of(approve).table() if not isinstance(approve, str) else approve


def _check_allow(network: str) -> None:
    kind, colon, hosts = network.partition(":")
    if kind != "allow" or not colon:
        raise UsageError(
            f"--network cannot be {network!r}", hint="Choose none, open or allow:HOST,…"
        )
    from agentkit.sandboxes._allow import parse_allow

    parse_allow(hosts)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(
            f"{option} cannot be {value!r}", hint=f"Choose {', '.join(known[:-1])} or {known[-1]}"
        )


# The project file


def _project(said: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the nearest project file, from the workspace upwards."""
    start = Path(said.get("workspace") or ".").absolute()
    candidates = (folder / PROJECT_FILE for folder in (start, *start.parents))
    path = next((each for each in candidates if _is_file(each)), None)
    if path is None:
        return {}
    found = _read(path)
    found.pop("mcp", None)  # read when it is needed, as it may hold secrets
    _keep_safe(found, said, path)
    for key, inside in (("workspace", True), ("ladder", False)):
        value = found.get(key)
        if value and (inside or value.endswith(".toml")):
            found[key] = str(path.parent / value)
    return {**found, "project_file": str(path)}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    out: dict[str, Any] = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        if name not in _OF_A_PROJECT:
            known = ", ".join(sorted(each.replace("_", "-") for each in _OF_A_PROJECT))
            raise UsageError(f"{path}: unknown setting {key!r}", hint=f"Known: {known}")
        out[name] = _typed(path, key, value)
    return out


def _typed(path: Path, key: str, value: object) -> object:
    if key == "approve" and isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if key == "check":
        commands = cast("list[object]", value) if isinstance(value, list) else [value]
        if all(isinstance(each, str) for each in commands):
            return commands
        raise UsageError(f"{path}: 'check' must be a command or a list of commands")
    kinds: dict[str, tuple[type, ...]] = {
        "models": (dict,),
        "mcp": (dict,),
        "max_cost": (int, float),
        "deadline": (int, float),
        "off_peak_wait": (int, float),
        "attempts": (int,),
        "max_turns": (int,),
        "max_tokens": (int,),
    }
    expected = kinds.get(key.replace("-", "_"), (str,))
    if not isinstance(value, expected) or isinstance(value, bool):
        raise UsageError(f"{path}: {key!r} must be {_WORDS[expected[0]]}, not {value!r}")
    return value


_WORDS: dict[type, str] = {dict: "a table", int: "a number", str: "a text"}


def _keep_safe(found: Mapping[str, Any], said: Mapping[str, Any], path: Path) -> None:
    """A project's file came with the project: it may not choose what could harm its reader.

    Work outside a container, or another address for requests (with the key and the code in
    them), must be said by the user, on the command line or in the environment.
    """
    sandbox = found.get("sandbox", "docker")
    if sandbox != "docker" and "sandbox" not in said:
        raise UsageError(
            f"{path} asks for the sandbox {sandbox!r}, which is not isolated by us",
            hint=f"If that is what you want, say it yourself: --sandbox {sandbox}",
        )
    _keep_host_safe(found, said, path)
    network = str(found.get("network", "none"))
    if _opens_this_network(network) and "network" not in said:
        raise UsageError(
            f"{path} opens the sandbox to this machine's own network: {network}",
            hint=f"If that is what you want, say it yourself: --network {network}",
        )
    url = str(found.get("base_url", ""))
    if url:
        require_url(url, f"{path}: base-url")
    trusted = (os.environ.get(URL_VARIABLE), said.get("base_url"))
    if url and url not in trusted and not said.get("base_url") and not is_loopback(url):
        raise UsageError(
            f"{path} sends requests, and your key, to {url}",
            hint=f"If that is what you want, say it yourself: --base-url {url}",
        )
    workspace = found.get("workspace")
    if workspace and not (path.parent / workspace).resolve().is_relative_to(path.parent.resolve()):
        raise UsageError(
            f"{path}: the workspace {workspace!r} lies outside the project",
            hint="Name it with --workspace",
        )


def _keep_host_safe(found: Mapping[str, Any], said: Mapping[str, Any], path: Path | str) -> None:
    """A project's word runs nothing on the host: its approvals and checks are for containers."""
    if (said.get("sandbox") or found.get("sandbox", "docker")) == "docker":
        return
    if "approve" in found and "approve" not in said and _loosens(found):
        raise UsageError(
            f"{path} lets commands run without asking, and they are not isolated by us",
            hint="If that is what you want, say it yourself with --approve",
        )
    if found.get("check") and "check" not in said:
        raise UsageError(  # nobody is asked before a check runs, whatever the approval policy says
            f"{path} has checks, commands that run without asking, and they are not isolated by us:"
            f" {', '.join(found['check'])}",
            hint=f"If that is what you want, say it yourself: {_as_options(found['check'])}"
            " (or --check true for none)",
        )


def _as_options(checks: Iterable[str]) -> str:
    return " ".join(f"--check {shlex.quote(each)}" for each in checks)


def _loosens(found: Mapping[str, Any]) -> bool:
    """Whether the project's policy lets more run than ``ask`` would."""
    approve = found["approve"]
    if isinstance(approve, str):
        return approve not in ("ask", "read-only")
    return bool(approve.get("allow")) or approve.get("default", "ask") == "auto"


def _opens_this_network(network: str) -> bool:
    """Everything, or an address: names alone never lead to private ones."""
    if not network.startswith("allow:"):
        return network == "open"
    from agentkit.sandboxes._allow import parse_allow

    return any(rule.network is not None for rule in parse_allow(network[6:]).rules)


def require_url(url: str, named: str) -> None:
    """Refuse what cannot be the address of an endpoint.

    Args:
        named: where the address was given.

    Raises:
        UsageError: it has another scheme, no host or no valid port.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets without an address in them, a port that is no number
        usable = False
    if not usable:
        raise UsageError(f"{named} cannot be {url!r}", hint="Give http://HOST or https://HOST")


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine."""
    from urllib.parse import urlsplit

    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
