"""Find lines in the sandbox's files: with ripgrep where the image has it, else with grep."""

from __future__ import annotations

from agentkit.errors import FileError, SandboxError
from agentkit.sandbox import ExecResult, Match, Matches
from agentkit.sandboxes._scripts import quote

__all__ = ["parse", "script"]

_LONGEST = 4_000
"""Bytes of one line."""


def script(pattern: str, path: str, *, glob: str, ignore_case: bool, limit: int) -> str:
    """The command. Both programs print ``path NUL line : text``."""
    if "\n" in pattern or "\0" in pattern + glob:
        raise ValueError("a pattern is one line of text without NUL")
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, not {limit}")
    case = " -i" if ignore_case else ""
    words, where = quote(pattern), quote(path)
    rg = (
        "rg --no-config --no-heading --with-filename --line-number --null --color never"
        f" --sort path --no-messages{case}" + (f" -g {quote(glob)}" if glob else "")
    )
    include = f" --include={quote(glob)}" if glob else ""
    # busybox's grep knows neither -Z nor --include: find names the files, and : has to do.
    find = f"find {where} -type f" + (f" -name {quote(glob)}" if glob else "")
    slow = f"{find} -exec grep -nHE{case} -e {words} -- {{}} +"
    return (
        f"[ -e {where} ] || exit 66\n"
        f"{{ if command -v rg >/dev/null 2>&1; then {rg} -e {words} -- {where}\n"
        f"elif grep -Z x /dev/null 2>/dev/null; [ $? = 1 ]; then"
        f" grep -rnHIEZ{case}{include} -e {words} -- {where}\n"
        f"else {slow}; fi; echo $? >&2; }} | head -n {limit + 1} | cut -b -{_LONGEST}"
    )


def parse(result: ExecResult, path: str, limit: int) -> Matches:
    """Read what the command printed.

    Raises:
        FileError, ValueError, SandboxError: see ``Sandbox.search``.
    """
    if result.exit_code == 66:
        raise FileError(path, "missing", f"{path} does not exist")
    words = (result.stderr.data if result.stderr else b"").decode("utf-8", "replace").strip()
    if result.ended != "exit":
        raise SandboxError(f"the search did not end within its limits ({result.ended})")
    code = words.splitlines()[-1] if words else "0"
    lines = result.output.data.split(b"\n")[:-1]
    if not lines and code == "2":
        raise ValueError(f"the search failed: {words.rpartition(chr(10))[0] or 'bad pattern'}")
    found = [match for line in lines if (match := _match(line)) is not None]
    if len(lines) <= limit:
        found.sort(key=lambda match: (match.path, match.line))
    return Matches(tuple(found[:limit]), truncated=len(lines) > limit)


def _match(line: bytes) -> Match | None:
    path, nul, rest = line.partition(b"\0")
    if not nul:
        path, _, rest = line.partition(b":")
    number, _, text = rest.partition(b":")
    if not number.isdigit():
        return None
    return Match(path.decode("utf-8", "surrogateescape"), int(number), text)
