"""Facts about the sandbox, told to the model before its first step."""

from __future__ import annotations

from agentkit.facts import today
from agentkit.sandbox import Sandbox
from agentkit.tools._text import clip_line, readable

_PROGRAMS = "python3 pip uv node npm git rg gcc make cmake go cargo java ruby docker tmux apt-get"
_MOST_PATHS = 80
_MOST_CHARACTERS = 3_000

# One round trip. Each block begins with a line "@name"; versions are asked only of programs that
# answer in milliseconds.
_SCRIPT = rf"""
echo @system
. /etc/os-release 2>/dev/null; user=$(id -un 2>/dev/null || id -u)
echo "${{PRETTY_NAME:-$(uname -s)}} $(uname -m), user $user, $(nproc 2>/dev/null || echo '?') CPUs"
echo @programs
for p in {_PROGRAMS}; do
  command -v "$p" >/dev/null 2>&1 || continue
  case $p in
    python3|node|git) v=$("$p" --version 2>/dev/null | sed 's/^[^0-9]*//; s/ .*//') ;;
    *) v= ;;
  esac
  echo "$p${{v:+ $v}}"
done
echo @git
g() {{ git -c safe.directory='*' -c core.quotepath=off "$@" 2>/dev/null; }}
g status --short --branch | head -n 12
echo @files
{{ g ls-files --cached --others --exclude-standard | grep . ||
  find . -type d \( -name .git -o -name node_modules -o -name __pycache__ -o -name .venv \) -prune \
    -o -type f -print 2>/dev/null | sed 's|^\./||'; }} | head -n 20000
"""


async def environment_facts(sandbox: Sandbox, *, deadline: float | None = None) -> str:
    """A short text: system, programs, directory, git state, files, network, time limit.

    Args:
        deadline: seconds that the whole run has.
    """
    ran = await sandbox.exec(_SCRIPT, cwd=sandbox.workdir, timeout=20)
    blocks = _blocks(readable(ran.output.data))
    facts = [
        f"Directory: {sandbox.workdir}",
        f"Date: {today()} (UTC)",
        f"System: {' '.join(blocks.get('system', ['unknown']))}",
        f"Sandbox: {sandbox.description}",
        f"Programs: {', '.join(blocks.get('programs', [])) or 'none of the usual ones'}",
    ]
    if deadline is not None:
        facts.append(f"Time for the whole task: {deadline:g} seconds")
    facts.append(_git(blocks.get("git", [])))
    facts.append(_files(blocks.get("files", [])))
    return "[Environment]\n" + "\n".join(facts)


def _blocks(text: str) -> dict[str, list[str]]:
    blocks: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line in ("@system", "@programs", "@git", "@files"):
            current = blocks.setdefault(line[1:], [])
        else:
            current.append(line)
    return blocks


def _git(lines: list[str]) -> str:
    if not lines:
        return "Git: not a repository"
    branch, *changes = lines
    state = "clean" if not changes else "\n".join(["uncommitted changes:", *changes[:10]])
    more = "\n…" if len(changes) > 10 else ""
    return f"Git: branch {branch.removeprefix('## ')}, {state}{more}"


def _files(paths: list[str]) -> str:
    """All paths of a small project; of a large one its directories with their counts."""
    if not paths:
        return "Files: none"
    total = f"{len(paths):,}{' or more' if len(paths) >= 20_000 else ''}"
    shown = sorted(paths) if len(paths) <= _MOST_PATHS else _summary(paths)
    listing: list[str] = []
    room = _MOST_CHARACTERS
    for path in shown:
        room -= len(path) + 1
        if room < 0 or len(listing) == _MOST_PATHS:
            break
        listing.append(clip_line(path, 200))
    left = len(shown) - len(listing)
    more = f"\n… {left} more" if left else ""
    return f"Files ({total}):\n" + "\n".join(listing) + more


def _summary(paths: list[str]) -> list[str]:
    """Files at the top, and each directory down to the second level with its number of files."""
    top = sorted(path for path in paths if "/" not in path)
    counts: dict[str, int] = {}
    for path in paths:
        parts = path.split("/")[:-1]
        for depth in range(1, min(len(parts), 2) + 1):
            folder = "/".join(parts[:depth]) + "/"
            counts[folder] = counts.get(folder, 0) + 1
    return top + [f"{folder} ({count} files)" for folder, count in sorted(counts.items())]
