"""Ways past the judge that were found once: none of them runs in read-only mode."""

from __future__ import annotations

import pytest

from agentkit import Call
from agentkit.approvals import Policy, Rule
from agentkit.approvals.deciding import decide
from agentkit.approvals.shell import judge
from agentkit.tools import shell

pytestmark = pytest.mark.anyio


async def verdict(policy: Policy, command: str) -> str:
    bash = shell()[0]
    arguments = {"command": command}
    call = Call("c", "bash", arguments, writes=True)
    return (await decide(policy, call, bash, bash.claims(arguments))).action


HEREDOCS = [
    "cat <<'EOF' > pwned\nx\nEOF\n", "cat <<'EOF' > /etc/cron.d/x\nx\nEOF\n",
    "cat <<EOF >> ~/.bashrc\nx\nEOF\n", "find . <<EOF -delete\nx\nEOF\n",
    "sort <<EOF -o out\nx\nEOF\n", "cat <<EOF | sh\nrm x\nEOF\n", "cat <<EOF | tee out\nx\nEOF\n",
    "cat <<EOF && rm x\nx\nEOF\n", "cat <<EOF || rm x\nx\nEOF\n", "cat <<EOF; rm x\nx\nEOF\n",
    "cat <<EOF & rm x\nx\nEOF\n", "cat <<A <<B > x\na\nA\nb\nB\n", "{ ls; } <<E > y\na\nE\n",
    "ls | cat <<E > y\na\nE\n", "ls && cat <<E > y\na\nE\n", "cat <<-E > y\n\ta\n\tE\n",
    "cat <<E && find . 2>/dev/null -delete\na\nE\n", "cat <<E | find . 2>/dev/null -delete\na\nE\n",
    "cat <<E | cat <<F > y\na\nE\nb\nF\n", "cat <<E |& sh\nrm x\nE\n", "cat <<E >|y\na\nE\n",
    "cat <<E &>y\na\nE\n", "cat <<E 2>/dev/null >y\na\nE\n", "cat <<E \\\n>y\na\nE\n",
    "ls <<E -l 2>&1 -a >y\na\nE\n", "cat 0<<E >y\na\nE\n", "<<E cat >y\na\nE\n",
    "cat <<E'F' >y\na\nEF\n", "cat <<E \"\n\" >y\na\nE\n", "cat <<$x\na\n$x\nrm x\n",
    "cat <<E\na\nE \nE\nrm x\n", "echo $(cat <<E\na\nE)\n", "cat <<E\na\\\nE\n$(rm x)\nE\n",
    # what a shell runs in the text
    "cat <<EOF\n`rm x`\nEOF\n", "cat <<-EOF\n\t`rm x`\n\tEOF\n", "cat <<-EOF\n\t$(rm x)\n\tEOF\n",
    "cat <<EOF\n$ $(rm x)\nEOF\n", "cat <<EOF\n\\\\`rm x`\nEOF\n", "cat <<EOF\n\\\\$(rm x)\nEOF\n",
    "cat <<EOF\na $x `rm x`\nEOF\n", "cat <<EOF\n$[$(rm x)]\nEOF\n", "cat <<EOF\n${x:=y}\nEOF\n",
    "cat <<EOF\n$((x=1))\nEOF\n", "cat <<EOF\n\"$(rm x)\"\nEOF\n", "cat <<EOF\n'`rm x`'\nEOF\n",
]  # fmt: skip
REDIRECTS = [
    "find . 2>/dev/null -delete", "find . 2>&1 -delete", "sort f >/dev/null -o out",
    "git log >/dev/null --output=x", "rg x 2>/dev/null --pre=./evil", "sort <f -o out",
    "find . &>/dev/null -delete", "find . >|/dev/null -delete", "find . >>/dev/null -delete",
    "find . &>>/dev/null -delete", "find . 2>&- -delete", "find . <&- -delete",
    "find . <&3 -delete", "find . 3<&0- -delete", ">/dev/null find . -delete",
    "</dev/null find . -delete", ">/dev/null 2>&1 find . -delete", "x=1 >/dev/null find . -delete",
    "! find . 2>/dev/null -delete", "time find . 2>/dev/null -delete", "{ find . -delete; } 2>&1",
    "ls | find . 2>/dev/null -delete", "ls && find . 2>/dev/null -delete",
    "ls 2>&1 | find . 2>&1 -delete | cat", "! ls | find . 2>&1 -delete",
    "find . >/dev/null 2>&1 -delete", "find . >/dev/null \"-delete\"",
    "find . >/dev/null -del''ete",
    "find . >/dev/null $x", "find . >/dev/null *", "find . >/dev/null {-delete,x}",
    "find . <<<x -delete", "find . <<< \"$x\" -delete", "find . >/dev/null <<<x -delete",
    "find . <<<x >/dev/null -delete", "cat <<< x > y", "cat <<< `rm x` z", "cat <<<$(rm x)",
    "find . {fd}>/dev/null -delete", "ls {fd}>x", "ls 1>&2 >x", "ls 2>&1 >x", "ls >&x", "ls >& x",
    "ls > >(cat > x)", "ls > >(sh)", "ls >/dev/null >(sh)", "cat < <(rm x)", "ls 2> >(tee x)",
    "find . > >(cat) -delete", "find . < <(ls) -delete", "if ls; then ls; fi >x", "(ls) >x y",
    "f() { ls; } >x; f", "[ a ] >x", "while false; do ls; done 2>/dev/null >x", "ls >x >/dev/null",
    "ls >$(echo x)", "ls >$x", "ls >~/x", "ls 2>/dev/null; find . 2>/dev/null -delete",
    "sh 2>/dev/null -c 'rm x'", "env 2>/dev/null rm x", "xargs 2>/dev/null rm",
    "echo \"$ $(rm x)\"", "echo $ $(rm x)", "echo a$ `rm x`", "echo \"$ `rm x`\"",
    "echo \"$ ${x:=$(rm x)}\"", "echo \"$ $((x=1))\"",
]  # fmt: skip
COMMANDS = [
    "echo evil | uniq - .git/hooks/pre-commit", "uniq f*", "uniq -c f*", "uniq -- a b",
    "git -C s* log", "git -C $x log",
    # options of wrappers
    "env -iu cat rm x", "env -iSrm cat x", "env -S rm cat", "env -vS 'rm x'", "env -C / ls",
    "env --unse cat rm x", "env -u c* rm x", "env -iSls", "env --split=ls",
    "xargs --process-slot-var cat rm x", "echo y | xargs -rE cat rm x", "xargs -E cat rm x",
    "xargs --eof cat", "xargs --arg-file cat rm x", "xargs -tn cat rm", "xargs -n 1* ls",
    "command time -f cat rm x", "/usr/bin/time --format=evil --output=FILE ls", "time -o x ls",
    "/usr/bin/time -o x ls", "time -v ls", "time ! rm x", "time PATH=. ls", "time (rm x)",
    "time { rm x; }", "time -ao x ls", "time --append ls", "nohup ls",
    "nice --adj 5 rm x", "nice -n 5* ls", "timeout 5* ls",
    "timeout --sig cat rm x", "stdbuf -oL -x ls", "stdbuf --output cat rm x", "ionice -p 1 ls",
    "setsid -z ls", "command -pv ls", "command -x ls",
    "echo 'rm x' | xargs -rIls sh -c ls", "xargs -I ls sh -c ls", "xargs -Ils sh -c ls",
    "xargs --replace=ls sh -c ls", "xargs -I a -I ls sh -c ls", "xargs -ils sh -c ls",
    "find . -maxdepth 0 -exec sort -t + -o .git/hooks/pre-commit f \\;",
    "find . -exec cat \\{\\} + -exec rm x \\;",
    "find . -exec cat {}", "find . -exec cat {} + -delete", "find . -exec {} \\;",
    # shells
    "bash --rcfile -c ls", "bash --init-file -c ls", "bash -c --rcfile ls evil", "bash -c -o ls x",
    "bash --rcfile x -ic ls", "fish --init-command='rm x' -c ls", "fish -c 'cat a ^out'",
    "zsh -c \"ls *(e:'rm x':)\"",
    "ksh -c ls", "bash --debugger -c ls", "bash -c", "bash -O x -c ls",
    "csh -c ls", "bash +c ls",
    # networks, secrets, the environment
    "cat < /dev/tcp/127.0.0.1/80", "cat </dev/udp/1/2", "cat < $x", "cat < \"$x\"",
    "cat < ~/.ssh/id_rsa", "cat < .env", "cat 0<.env", "<.env cat", "git show HEAD:.env",
    "git show :.env", "for f in .env; do cat $f; done", "for f in .e*; do cat $f; done",
    "for f in /dev/tcp/a/1; do cat < $f; done", "jq -n env", "jq -n '$ENV'", "jq -n '$ENV.PATH'",
    "jq -rn 'env|keys'", "jq -f x", "jq -nf x", "jq $x", "xargs jq", "ps eww", "ps auxe", "ps axe",
    "ps e", "ps $x", "ps -e -u x", "ps -auxe", "grep -f.env x", "grep --file=.env x",
    "cat \"$HOME/.env\"", "cat \"$HOME\"/.env", "cat .e?v", "cat .e*", "cat ~/.s*/id_rsa",
    "cat .[e]nv", "cat .e{nv,x}", "cat .e$@nv", "cat .e${x}nv", "cat $'\\x2eenv'", "cat .e\"n\"v",
    "cat .e\\nv", "echo $(<.env)", "{ cat; } < .env", "while true; do cat; done < .env",
    "(cat) </dev/tcp/1/2", "echo $AWS_SECRET_ACCESS_KEY", "echo \"${API_KEY}\"", "cat *.pem",
    "env LC_ALL=C", "env x=1", "env -i LANG=C", "eval ls x*", "sh -c ls*", "trap ls* EXIT",
    "find . -exec sh -c ls* {} +", "cat /proc/self/env*", "grep -a . /proc/self/*", "cat .ENV",
    "cat .env-prod", "cat <<< $API_KEY", "cat <<E\n$API_KEY\nE\n", "find @(-delete)",
    "nice -n5* ls", "xargs -I x* ls", "timeout --signal=K* 5 ls",
    "cat <<< x < .env", "cat <<E < .env\na\nE\n",
]  # fmt: skip


@pytest.mark.parametrize("command", [*HEREDOCS, *REDIRECTS, *COMMANDS], ids=ascii)
async def test_nothing_that_changes_or_tells_passes_as_reading(command: str) -> None:
    found = judge(command)
    assert found.risk != "low"
    assert found.reasons
    assert await verdict(Policy("read-only"), command) == "deny"


@pytest.mark.parametrize(
    "command",
    [
        "cat <<EOF\nx\nEOF\n", "cat <<'EOF'\n`rm x` $(rm x)\nEOF\n", "cat <<\\EOF\n$(rm x)\nEOF\n",
        "cat <<\"EOF\"\n`a`\nEOF\n", "cat <<EOF\na \\`a\\` \\$(rm x) $x cost: 5$\nEOF\n",
        "cat <<EOF | sort -u\nb\na\nEOF\n", "cat <<-EOF\n\tx\n\tEOF\nls",
        "cat <<EOF 2>/dev/null\nEOF\n",
        "sort <<EOF -u\nx\nEOF\n", "cat <<EOF && ls\nx\nEOF\n", "cat <<EOF\n$(ls)\nEOF\n",
        "find . 2>/dev/null -name x", "find . 2>&1 -name x | head", "ls 2>/dev/null -la a",
        "grep x <f -n", "cat <<<x -n", "sort < f", "wc -l < a.txt", "</dev/null cat", "ls >&2",
        "ls 2>&-", "echo $(< VERSION)", "while false; do ls; done < f", "{ cat; } < f",
        "uniq -c", "uniq - ", "uniq -f 1", "sort a | uniq -c | sort -rn", "git -C sub log",
        "env -u X ls", "env -i ls", "env - ls", "nice -5 ls", "nice --adjustment=5 ls",
        "timeout -s KILL -k 5 10 ls", "timeout --signal=INT 1m ls", "stdbuf -oL cat a",
        "time -p ls", "ionice -c3 ls", "xargs -0 -n1 -P 4 wc -l", "xargs -I '{}' cat '{}'",
        "xargs --max-args=1 cat", "find . -exec sort -t + f \\;", "find . -exec cat {} + -name x",
        "bash --norc -c ls", "bash -euc ls", "sh -e -c 'ls -l'", "sh -c 'ls *'", "eval 'ls x*'",
        "xargs -d '*' ls", "uniq 'f*'", "bash -c -- ls", "jq . a.json",
        "jq -r '.a | keys' a.json", "ps aux", "ps -ef", "ps -eo pid,comm,etime", "ps", "ps -p 1",
        "ps aux --sort=-rss", "git merge-base a b", "grep -rn environment src", "cat src/*.py",
        "cat .github/workflows/*.yml", "ls .*ignore", "git show HEAD:src/a.py",
        "for f in *.py; do wc -l \"$f\"; done", "cat \"$HOME/a.txt\"", "rg -n '$x' env.py",
    ],
    ids=ascii,
)  # fmt: skip
async def test_what_only_reads_still_passes(command: str) -> None:
    assert await verdict(Policy("read-only"), command) == "allow", judge(command)


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("rm 2>/dev/null -rf x", "deny"),
        ("rm >/dev/null 2>&1 -rf x", "deny"),
        (">/dev/null rm -rf x", "deny"),
        ("ls | rm 2>/dev/null -rf x", "deny"),
        ("rm <<E -rf x\na\nE\n", "deny"),
        ("rm <<<a -rf x", "deny"),
        ("cat <<E | rm -rf x\na\nE\n", "deny"),
        ("cat <<E\n$(rm -rf x)\nE\n", "deny"),
        ("cat <<E\n`rm -rf x`\nE\n", "ask"),
        ("if ls; then ls; fi 2>/dev/null rm -rf x", "ask"),
        ("env -iu cat rm -rf x", "ask"),
        ("sudo -nu root rm -rf x", "ask"),
        ("sudo --user=root -n rm -rf x", "deny"),
        ("su - root -c 'rm -rf x'", "deny"),
        ("nohup rm -rf x", "deny"),
        ("time ! rm -rf x", "deny"),
        ("time -p x=1 rm -rf x", "deny"),
        ("! time rm 2>&1 -rf x", "deny"),
        ("time { rm -rf x; }", "ask"),
        ("time (rm -rf x)", "deny"),
        ("find . -exec cat \\{\\} + -exec rm -rf x \\;", "deny"),
        ("fish -c 'begin; rm -rf x; end'", "ask"),
        ("xargs -tn cat rm -rf x", "ask"),
    ],
)
async def test_a_rule_that_denies_is_not_got_around(command: str, action: str) -> None:
    assert await verdict(Policy("auto", (Rule("deny", "rm -rf *"),)), command) == action
