"""``bash``: the shell lives on, output is cut with a true count, every end has its words."""

from __future__ import annotations

import re
import secrets

import pytest

from agentkit.limits import Limits
from agentkit.tools.bash import bash, minimal_bash

from .conftest import Desk


async def test_state_lives_on(desk: Desk) -> None:
    await desk.call(bash, command="mkdir -p d && cd d; export A=1; b=2; f() { echo f-$b; }")
    assert await desk.text(bash, command="pwd; echo $A; f") == f"{desk.path('d')}\n1\nf-2"


async def test_the_exit_code_is_named_only_when_it_is_not_0(desk: Desk) -> None:
    assert await desk.text(bash, command="echo hi") == "hi"
    result = await desk.call(bash, command="echo hi; (exit 3)")
    assert result.content == "hi\n[exit code: 3]"
    assert result.ok
    assert result.data["exit_code"] == 3
    assert await desk.text(bash, command="true") == "(no output)"
    assert await desk.text(bash, command="false") == "(no output)\n[exit code: 1]"


async def test_both_streams_are_shown_in_order(desk: Desk) -> None:
    assert await desk.text(bash, command="echo a; echo b >&2; echo c") == "a\nb\nc"


async def test_at_the_limit_the_command_dies_and_the_shell_lives(desk: Desk) -> None:
    await desk.call(bash, command="export KEPT=yes; mkdir d; cd d")
    result = await desk.call(bash, command="echo started; sleep 100", timeout=1)
    assert not result.ok
    assert result.data["ended"] == "timeout"
    assert result.content.startswith("started\n")
    assert "[timed out after 1 seconds and was killed:" in result.content
    assert "larger timeout" in result.content
    assert result.data["duration"] < 5
    assert await desk.text(bash, command="echo $KEPT; pwd") == f"yes\n{desk.path('d')}"


async def test_the_run_s_deadline_shortens_the_limit(desk: Desk) -> None:
    desk.limits = Limits(deadline=1)
    result = await desk.call(bash, command="sleep 100", timeout=300)
    assert "timed out after 1 seconds" in result.content


async def test_exit_gives_a_new_shell_and_says_so(desk: Desk) -> None:
    await desk.call(bash, command="export A=1")
    text = await desk.text(bash, command="export A=2; exit 7")
    assert "[exit code: 7]" in text
    assert f"[the shell was restarted in {desk.sandbox.workdir}: exported" in text
    assert await desk.text(bash, command="echo $A") == "1"


async def test_a_background_job_does_not_hold_the_call(desk: Desk) -> None:
    result = await desk.call(bash, command="sleep 60 >/dev/null 2>&1 & echo $!")
    assert result.data["duration"] < 5
    assert "alive" in await desk.text(bash, command=f"kill -0 {result.content} && echo alive")
    await desk.call(bash, command=f"kill {result.content}")


async def test_long_output_keeps_both_ends_and_the_rest_is_in_a_file(desk: Desk) -> None:
    text = await desk.text(bash, command="seq 1 100000")
    assert len(text) < 16_400
    assert text.startswith("1\n2\n")
    assert text.endswith("\n100000")
    notice = re.search(r"\[… ([\d,]+) characters \(([\d,]+) lines\) left out here; (.*) …\]", text)
    assert notice
    shown = text.replace(f"{notice[0]}\n", "") + "\n"
    assert int(notice[1].replace(",", "")) == 588_895 - len(shown)
    assert int(notice[2].replace(",", "")) == 100_000 - shown.count("\n")
    path = re.search(r"all of it is in (\S+):", notice[3])
    assert path
    assert await desk.text(bash, command=f"wc -l < {path[1]}") == "100000"


async def test_minimal_keeps_the_start(desk: Desk) -> None:
    text = await desk.text(minimal_bash, command="seq 1 100000")
    assert text.startswith("1\n2\n")
    assert text.splitlines()[-1].startswith("[… ")
    assert "100000\n" not in text


async def test_100_megabytes_end_in_bounded_words(desk: Desk) -> None:
    result = await desk.call(bash, command="yes 0123456789abcdef | head -c 100000000", timeout=120)
    assert len(result.content) < 17_000
    assert result.data["ended"] == "flood"
    assert "[killed after printing" in result.content
    assert "its first and last 4 MB are in" in result.content
    assert await desk.text(bash, command="echo alive") == "alive"


async def test_what_is_cut_below_the_flood_limit_is_counted(desk: Desk) -> None:
    result = await desk.call(bash, command="yes 0123456789abcdef | head -c 20000000", timeout=60)
    assert result.ok
    left = re.search(r"… ([\d,]+) characters left out", result.content)
    assert left
    shown = len(re.sub(r"\n\[…[^\n]*…\]", "", result.content))
    assert abs(int(left[1].replace(",", "")) + shown - 20_000_000) < 20


async def test_binary_output_is_short_and_said_so(desk: Desk) -> None:
    result = await desk.call(bash, command="head -c 5000 /dev/zero; echo; head -c 100 /dev/zero")
    assert "binary output" in result.content
    assert len(result.content) < 1_500
    assert "\0" not in result.content


async def test_bytes_that_are_not_utf8_are_kept_readable(desk: Desk) -> None:
    assert await desk.text(bash, command=r"printf 'caf\351 \303\251\n'") == "caf\\xe9 é"


async def test_colours_and_progress_bars_are_taken_out(desk: Desk) -> None:
    command = r"printf '\033[31mred\033[0m\n10%%\r99%%\rdone\n'"
    assert await desk.text(bash, command=command) == "red\ndone"


async def test_watchers_see_characters_whole(desk: Desk) -> None:
    await desk.call(bash, command=r"printf '\303'; sleep 0.2; printf '\251'; sleep 0.2; echo x")
    assert "".join(desk.shown) == "éx\n"
    assert "\ufffd" not in desk.shown


async def test_input_is_empty(desk: Desk) -> None:
    assert await desk.text(bash, command="cat; echo end") == "end"
    text = await desk.text(bash, command="python3 -c 'input()'")
    assert "it wanted input" in text
    assert "[exit code: 1]" in text


async def test_a_program_that_wants_a_terminal_is_explained(desk: Desk) -> None:
    text = await desk.text(bash, command="python3 -c 'import os; os.get_terminal_size()'")
    assert "it wanted a terminal, and there is none" in text


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("exec 3</dev/tty", "wanted a terminal"),
        ("env -u TERM tput cols", "wanted a terminal"),
        (
            "echo 'fatal: could not read Username for x: terminal prompts disabled'; false",
            "terminal",
        ),
        ("printf 'Do you want to continue? [Y/n] Abort.\n'; false", "wanted input"),
        ("printf 'Proceed (y/N)? '; read answer", "wanted input"),
        ("printf 'Proceed (yes/no/[fingerprint])? '; read answer", "wanted input"),
        ("printf 'Password for me: '; read word", "wanted input"),
        ("printf 'Enter passphrase: \n'; false", "wanted input"),
    ],
)
async def test_what_wants_somebody_at_a_terminal_is_explained(
    desk: Desk, command: str, hint: str
) -> None:
    assert hint in await desk.text(bash, command=command)


@pytest.mark.parametrize(
    "command",
    [
        "echo 'wrong password: try again'; false",
        "echo '[y/n] was asked'; ls nowhere; false",
        "false",
    ],
)
async def test_other_failures_get_no_hint(desk: Desk, command: str) -> None:
    assert "wanted" not in await desk.text(bash, command=command)


async def test_talk_of_a_terminal_in_a_success_is_no_hint(desk: Desk) -> None:
    assert await desk.text(bash, command="echo not a tty") == "not a tty"


async def test_a_command_without_end_is_named(desk: Desk) -> None:
    await desk.put("log", "last line\n")
    text = await desk.text(bash, command="echo look; tail -f log", timeout=1)
    assert "last line\n" in text
    assert "[tail -f does not end by itself" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"command": ""}, "command is empty"),
        ({"command": " \n"}, "command is empty"),
        ({"command": "echo a\0b"}, "NUL"),
        ({"command": "true", "timeout": 0}, "timeout must be 1 to 3600"),
        ({"command": "true", "timeout": -5}, "timeout must be 1 to 3600"),
        ({"command": "true", "timeout": "soon"}, "timeout"),
        ({}, "missing argument 'command'"),
        ({"command": "true", "cwd": "/"}, "unknown argument 'cwd'"),
    ],
)
async def test_wrong_arguments_are_explained(
    desk: Desk, arguments: dict[str, object], words: str
) -> None:
    assert words in await desk.refused(bash, **arguments)


async def test_a_day_long_limit_is_taken_as_the_longest(desk: Desk) -> None:
    assert await desk.text(bash, command="echo ok", timeout=86_400_000) == "ok"


async def test_a_long_command_of_many_lines_runs(desk: Desk) -> None:
    data = "x" * 200_000
    text = await desk.text(bash, command=f"cat > big <<'EOF'\n{data}\nEOF\nwc -c < big")
    assert text.strip() == "200001"


async def test_a_syntax_error_does_not_end_the_shell(desk: Desk) -> None:
    assert "[exit code:" in await desk.text(bash, command="if then")
    assert await desk.text(bash, command="echo 'unclosed") != ""
    assert await desk.text(bash, command="echo ok") == "ok"


async def at_terminal(desk: Desk, command: str, until: str) -> str:
    """The screen, once it shows that: it may be looked at before all of it is drawn."""
    text = await desk.text(bash, command=command, interactive=True)
    while until not in text:
        text = await desk.text(bash, command="", interactive=True)
    return text


async def test_a_program_at_a_terminal(desk: Desk) -> None:
    await desk.put("answer.py", "import getpass; print('it was', getpass.getpass('word: '))")
    first = await at_terminal(desk, "python3 answer.py", "word:")
    assert first.startswith("word:")
    assert "cursor at line 1" in first
    last = await at_terminal(desk, "sesame<Enter>", "the program ended")
    assert last.endswith("it was sesame\n[the program ended, exit code 0]")
    assert "no program runs" in await desk.text(bash, command="<close>", interactive=True)


async def test_a_full_screen_program_is_drawn_and_closed(desk: Desk) -> None:
    program = r"printf '\033[2J\033[5;10Hin the middle\033[1;1Htop'; cat"
    screen = await at_terminal(desk, program, "top\n")
    lines = screen.splitlines()
    assert lines[0] == "top"
    assert lines[4] == " " * 9 + "in the middle"
    assert "cursor at line 1, column 4" in lines[-1]
    closing = await at_terminal(desk, "<C-c>", "the program ended")
    assert closing.endswith("code 130]")


async def test_what_scrolls_off_the_screen_is_shown_too(desk: Desk) -> None:
    program = "seq 1 100; read x; seq 101 1000; read x; printf '\\033[?1049h'; seq 1 90; read x"
    first = await at_terminal(desk, program, "100\n")
    assert first.splitlines()[:-1] == [str(number) for number in range(1, 101)]
    second = (await at_terminal(desk, "<Enter>", "1000\n")).splitlines()
    assert second[0].endswith("lines scrolled by before these …]")
    assert second[-2] == "1000"
    assert len(second) == 1 + 400 + 39 + 1
    editor = (await at_terminal(desk, "<Enter>", "90\n[")).splitlines()
    assert editor[-2] == "90", "a screen of its own"
    assert len(editor) <= 2 + 40
    assert "[closed]" in await desk.text(bash, command="<close>", interactive=True)


async def test_a_terminal_is_killed_by_close(desk: Desk) -> None:
    # A length of its own: without isolation the processes of other tests can be seen.
    sleep = f"sleep 4711.{secrets.randbelow(10**9)}"
    await desk.call(bash, command=f"exec {sleep}", interactive=True)
    assert "[closed]" in await desk.text(bash, command="<close>", interactive=True)
    text = await desk.text(bash, command="cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert f"{sleep} " not in text.replace(rf"{sleep} \"", "")
