"""What others changed in the workspace between two runs: git's state and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentkit.errors import SandboxError
from agentkit.tools._text import clip_line, one_line, readable

if TYPE_CHECKING:
    from agentkit.run import Run

_MOST_FILES = 300
"""Changed files (without git: files at all) beyond which no difference is told."""
_SHOWN = 20

# One round trip; git runs inside the sandbox, as a repository's configuration can run programs.
_SCRIPT = rf"""
g() {{ git -c safe.directory='*' -c core.quotepath=off "$@" 2>/dev/null; }}
stamps() {{ head -n {_MOST_FILES + 1} | tr '\n' '\0' | xargs -0 stat -c '%Y:%s %n' 2>/dev/null; }}
if g rev-parse --git-dir >/dev/null; then
  echo "branch $(g symbolic-ref --short -q HEAD || echo detached)"
  echo "head $(g rev-parse --short HEAD)"
  echo @files
  g ls-files --modified --others --exclude-standard | stamps
  g ls-files --deleted | head -n {_MOST_FILES + 1} | sed 's/^/deleted /'
else
  echo @files
  find . -type d \( -name .git -o -name node_modules -o -name __pycache__ -o -name .venv \) -prune \
    -o -type f -print 2>/dev/null | sed 's|^\./||' | stamps
fi
"""


class Meanwhile:
    """Looked at when a run ends and when the next begins: the difference is not the agent's."""

    kind = "workspace"
    each_turn = False

    def baseline(self, run: Run) -> str | None:
        return None

    async def look(self, run: Run) -> str | None:
        if run.ground.opened is None and not run.state.sandbox:
            return None  # nothing was ever done there
        try:
            sandbox = await run.sandbox()
            ran = await sandbox.exec(_SCRIPT, cwd=sandbox.workdir, timeout=20)
        except SandboxError:
            return None
        facts, _, listed = readable(ran.output.data).partition("@files\n")
        split = [line.partition(" ") for line in listed.splitlines()]
        files = {name: stamp for stamp, _, name in split if name}
        if not ran.ok or len(files) > _MOST_FILES:
            return None
        known = [line.partition(" ") for line in facts.splitlines()]
        git = {name: value for name, _, value in known if value}
        return json.dumps({"git": git, "files": files}, sort_keys=True)

    def words(self, before: str, now: str) -> str:
        then: dict[str, Any] = json.loads(before)
        today: dict[str, Any] = json.loads(now)
        parts = [
            f"git {name} {then['git'].get(name)} -> {value}"
            for name, value in today["git"].items()
            if then["git"].get(name) != value
        ]
        old, new = then["files"], today["files"]
        moved = then["git"].get("head") != today["git"].get("head")
        changed = sorted(
            name
            for name in {*old, *new}
            # a commit takes files off the list without a change of theirs
            if old.get(name) != new.get(name) and not (moved and name not in new)
        )
        if changed:
            names = ", ".join(clip_line(one_line(name), 200) for name in changed[:_SHOWN])
            more = f" and {len(changed) - _SHOWN:,} more" if len(changed) > _SHOWN else ""
            parts.append(f"files changed: {names}{more}")
        return f"Since you last worked, others changed this: {'; '.join(parts)}." if parts else ""
