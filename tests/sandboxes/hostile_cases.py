"""What a hostile case is, and those that we invented beyond the survey: a + in the table."""

from __future__ import annotations

from dataclasses import dataclass

from agentkit.sandbox import Ended

__all__ = ["INVENTED", "Case"]


@dataclass(frozen=True)
class Case:
    """A command and what must come of it."""

    name: str
    command: str
    code: int | tuple[int, ...] = 0
    out: bytes | None = None
    """The exact output; None where it depends on the shell."""
    has: bytes = b""
    timeout: float = 30.0
    ended: Ended = "exit"
    restarted: bool | None = None
    jobs: int = 0
    """Processes that may live on: background jobs of a command that ended by itself."""
    keep: int = 1 << 20
    needs: str = ""
    """A program that the image must have."""
    kills_state: bool = False
    """The command changes directory or exports itself."""


def _limit(name: str, command: str) -> Case:
    """A command that only a limit ends."""
    return Case(name, command, 124, timeout=0.4, ended="timeout")


def _dies(name: str, command: str, code: int | tuple[int, ...]) -> Case:
    """A command that takes its shell along."""
    return Case(name, command, code, restarted=True)


_SCRATCH = "d=$(mktemp -d) && cd $d && "

INVENTED = [
    # The shell's own end, in every way that we could think of.
    _dies("+01 SEGV to the shell", "kill -SEGV $$", 139),
    _dies("+02 ABRT to the shell", "kill -ABRT $$", 134),
    _dies("+03 TERM to the shell", "kill -TERM $$", 143),
    _dies("+04 HUP to the shell", "kill -HUP $$", 129),
    _dies("+05 INT to the shell", "kill -INT $$; sleep 0.1", 130),
    _dies("+06 PIPE to the shell", "kill -PIPE $$", 141),
    _dies("+07 killed by its child", "sh -c 'kill -9 $PPID'; echo no", 137),
    _dies("+08 killed by a background job", "(sleep 0.1; kill -9 $$) & wait; sleep 5", 137),
    _dies("+09 kill in the EXIT trap", "trap 'kill -9 $$' EXIT; exit 0", 137),
    _dies("+10 three evals deep", "eval 'eval \"eval exit\\ 7\"'", 7),
    _dies(
        "+11 exit with a huge environment",
        "i=0; while [ $i -lt 2000 ]; do export V$i=$i; i=$((i + 1)); done; exit 3",
        3,
    ),
    _dies(
        "+12 exit with an odd environment",
        "export ODD=\"$(printf 'a\\036b\\n\\047\\042\\044x\\140y\\377')\"; exit 2",
        2,
    ),
    _dies("+13 exit under set -x and PS4", "PS4='$(exit 4)'; set -x; exit 9", 9),
    Case("+14 exec of nothing", "exec /not/there", (126, 127)),
    Case(
        "+15 endless recursion",
        "f() { f; }; (ulimit -s 256; f)",
        (1, 2, 137, 139),
    ),
    Case("+16 all CPU time used", "ulimit -t 1; while :; do :; done", (137, 152)),
    # Errors that end a POSIX shell, or only its command.
    Case("+17 shift too far", "shift 99; true", (0, 1, 2)),
    Case("+18 sourcing nothing", ". /not/there; true", (0, 1, 2)),
    Case("+19 read-only assigned", "readonly R9=1; R9=2; true", (0, 1, 2)),
    Case("+20 division by zero", "echo $((1/0))", (1, 2)),
    Case("+21 unset parameter demanded", "echo ${NOT_THERE_:?gone}", (1, 2, 127)),
    Case("+22 stray fi", "echo a; fi; echo b", 2),
    # bash 5.2 writes beyond its own memory here, and ends of it now, or would in a later command.
    Case("+23 heredoc open in $( )", "x=$(cat <<X", (0, 1, 2, 134)),
    Case("+24 sourcing the input", ". /dev/stdin; echo $?", out=b"0\n"),
    # Names that the protocol needs.
    Case("+25 function named command", "command() { echo hijacked; }; echo ok", out=b"ok\n"),
    Case("+26 command and printf", "command() { :; }; printf() { :; }; false", 1, out=b""),
    Case(
        "+27 unset of all it stands on",
        "unset -f command eval export printf pwd; unset AK_CMD AK_SHELL OLDPWD; echo ok",
        out=b"ok\n",
    ),
    Case("+28 no HOME, no PATH", "unset HOME PATH; cd; echo ok", has=b"ok", kills_state=True),
    Case("+29 positional parameters", "set -- a 'b c' ''; shift; echo $#", out=b"2\n"),
    # Its descriptors.
    Case(
        "+30 junk on all descriptors",
        "for f in 3 4 5 6 7; do echo junk >&$f; done 2>/dev/null; echo ok",
        has=b"ok",
    ),
    Case(
        "+31 junk into its own pipes",
        "for f in /proc/$$/fd/*; do echo junk >$f; done 2>/dev/null; echo ok",
        has=b"ok",
        jobs=-1,
    ),
    _limit("+32 reads its own script", "head -c 1 </proc/$$/fd/0; sleep 9"),
    Case("+33 errors to /dev/full", "exec 2>/dev/full; echo e >&2; echo ok", has=b"ok"),
    Case("+34 no file may grow", "ulimit -f 0; echo x >/tmp/f34; echo ok", (0, 1, 2, 153)),
    _limit("+35 input from /dev/zero", "exec </dev/zero; cat >/dev/null"),
    Case("+36 wants a terminal", "cat </dev/tty", (1, 2)),
    # Output.
    Case("+37 a record's first byte", r"printf 'abc\036'", out=b"abc\x1e"),
    Case("+38 half a record", r"printf '\0360123456789abcdef:'", out=b"\x1e0123456789abcdef:"),
    Case("+39 progress with CR", r"printf '\r1%%\r2%%'", out=b"\r1%\r2%"),
    Case("+40 flood of errors", "yes >&2", 137, ended="flood"),
    Case("+41 a broken pipe", "yes | head -n 1", out=b"y\n"),
    Case("+42 20,000 words", "echo $(seq 20000) | wc -w", has=b"20000"),
    # Processes.
    _limit("+43 three in a pipe", "sleep 60 | sleep 61 | sleep 62"),
    _limit("+44 orphans of orphans", "( ( ( (sleep 60 &) & ) & ) & ); sleep 60"),
    _limit(
        "+45 daemon without descriptors",
        "setsid sh -c 'exec 0<&- 1>&- 2>&-; sleep 61; :' & sleep 60",
    ),
    _limit(
        "+46 respawner that ignores TERM", "(trap '' TERM; while :; do sleep 0.05; done) & sleep 60"
    ),
    _limit(
        "+47 respawner in its own session", "setsid sh -c 'while :; do sleep 0.05; done' & sleep 60"
    ),
    _limit("+48 stops its whole group", "kill -STOP 0; sleep 60"),
    _limit("+49 stops the supervisor, exits", "kill -STOP $PPID; exit 3"),
    Case(
        "+50 a hundred short children",
        "i=0; while [ $i -lt 100 ]; do : & i=$((i + 1)); [ $((i % 20)) = 0 ] && wait; done; wait;"
        " echo ok",
        out=b"ok\n",
    ),
    Case("+51 three servers left", "sleep 30 & sleep 31 & sleep 32 &", jobs=3),
    Case("+52 a daemon left", "nohup setsid sleep 33 </dev/null >/dev/null 2>&1 &", jobs=1),
    Case("+53 waits for its supervisor", "wait $PPID; echo $?", out=None),
    _limit("+54 reads without end", "cat /dev/urandom >/dev/null"),
    # Directories.
    Case(
        "+55 directory named -rf", _SCRATCH + "mkdir -- -rf; cd ./-rf; exit 2", 2, kills_state=True
    ),
    Case(
        "+56 line feed in the directory",
        _SCRATCH + 'n=$(printf \'a\\nb\'); mkdir "$n"; cd "$n"; exit 6',
        6,
        kills_state=True,
    ),
    Case("+57 directory removed under it", _SCRATCH + "rmdir $d; exit 5", 5, kills_state=True),
    Case(
        "+58 forty levels down",
        _SCRATCH + "i=0; while [ $i -lt 40 ]; do mkdir " + "n" * 60 + "; cd n*; i=$((i + 1)); done;"
        " exit 4",
        4,
        kills_state=True,
    ),
    Case("+59 in /proc", "cd /proc/self/fd; ls >/dev/null; cd /tmp", (0, 1, 2)),
]
