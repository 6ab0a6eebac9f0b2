"""Fifteen ways in which work fails, as scripted models that react to what they are told."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agentkit import Limits
from agentkit.testing import Call, Reply
from benchmarks.ladder.actors import Model, View, bash, finish, replace, say, think, view, write
from benchmarks.ladder.harness import Story

CHECK = "python3 -B test_it.py"
NOBODY = {"flash-only": False, "pro-only": False, "ladder": False}
ALL = {"flash-only": True, "pro-only": True, "ladder": True}
LADDER_TOO = {"flash-only": False, "pro-only": True, "ladder": True}


def passes(code: str) -> Callable[[Path], bool]:
    """Whether Python code of ours holds in the workspace; the agent never sees it."""

    def look(folder: Path) -> bool:
        command = [sys.executable, "-B", "-c", code]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    return look


def test_of(code: str) -> str:
    """A test file whose failure tells what was expected and what came."""
    return f"""\
import unittest


class Test(unittest.TestCase):
    def test_it(self):
{"".join(f"        {line}{chr(10)}" for line in code.splitlines())}

unittest.main()
"""


def stuck(attempt: Callable[[int], Reply], *, hint: str, cure: Reply, mark: str) -> Model:
    """A weak model: tries, says it is done, tries again; until it is told the hint.

    Args:
        attempt: what it does in its nth try.
        hint: words that somebody must say to it before it sees the light.
        cure: what it does then.
        mark: words by which the cure is known among its calls.
    """

    def act(view: View) -> Reply:
        if view.asked:
            return say("Read the failing check once more and be careful.")
        if "submit_plan" in view.tools:
            return _plan("The plan is to be careful.")
        if view.advised("comes back to you"):
            return finish("Done, as reported.")
        if view.advised(hint):
            return finish("I followed the advice.") if view.did(mark) else cure
        if view.calls and view.calls[-1].name != "finish":
            return finish("All done, I think.")
        return attempt(sum(call.name == "finish" for call in view.calls))

    return act


def able(advice: str, cure: Reply, mark: str, *, look: str = "ls; cat *.py") -> Model:
    """A strong model: looks, does it, runs the check, ends; asked for advice, it gives it."""

    def act(view: View) -> Reply:
        if view.asked:
            return say(advice)
        if "submit_plan" in view.tools:
            return _plan(advice)
        if not view.calls:
            return bash(look, "First I look at what is there.")
        if not view.did(mark):
            return cure
        if not view.did(CHECK):
            return bash(CHECK, "Now the check.")
        return finish(f"Done. {advice}")

    return act


def _plan(fact: str) -> Reply:
    steps: list[dict[str, str]] = [{"step": "Do it."}]
    arguments = {"steps": steps, "facts": [fact]}
    return Reply(reasoning=think("I plan."), calls=[Call("submit_plan", arguments)])


def gives_up(advice: str, tries: Reply) -> Model:
    """A strong model that sees after one honest try that it cannot be done."""

    def act(view: View) -> Reply:
        if view.asked:
            return say(advice)
        if "submit_plan" in view.tools:
            return _plan(advice)
        if not view.calls:
            return tries
        return finish(advice, achieved=False)

    return act


def told_so(words: str, model: Model) -> Model:
    """A weak model that gives up honestly once somebody says those words to it."""

    def act(view: View) -> Reply:
        if not view.asked and view.advised(words):
            return finish(f"It cannot be done: {words}.", achieved=False)
        return model(view)

    return act


# 1 --------------------------------------------------------------------------------------------

_PRICE = "def price(cents, percent):\n    return cents * (100 - percent) // 100\n"
_ROUND = bash(
    "sed -i 's|cents \\* (100 - percent) // 100|(cents * (100 - percent) + 50) // 100|'"
    " shop/pricing.py",
    "The tests import shop.pricing.",
)

WRONG_FILE = Story(
    name="wrong file",
    task="price() must round half up. Fix it.",
    files={
        "shop/__init__.py": "",
        "shop/pricing.py": _PRICE,
        "old_pricing.py": _PRICE,
        "test_it.py": "from shop.pricing import price\n"
        + test_of("self.assertEqual(price(995, 10), 896)"),
    },
    checks=(CHECK,),
    weak=stuck(
        lambda n: bash(f"echo '# rounds half up, try {n}' >> old_pricing.py"),
        hint="shop/pricing.py",
        cure=_ROUND,
        mark="+ 50",
    ),
    strong=able("The tests import shop/pricing.py; old_pricing.py is not used.", _ROUND, "+ 50"),
    done=passes(
        "from shop.pricing import price; assert [price(995, 10), price(999, 10)] == [896, 899]"
    ),
)

# 2 --------------------------------------------------------------------------------------------

_FLAKY = """\
import pathlib
count = pathlib.Path('../runs')
runs = int(count.read_text()) if count.exists() else 0
count.write_text(str(runs + 1))
from job import answer
assert answer() == 42
assert runs % 2, 'connection reset by peer'
"""


def _flaky(view: View) -> Reply:
    if view.asked:
        return say("The failure is in the environment; run it again.")
    if not view.did("return 42"):
        return write("job.py", "def answer():\n    return 42\n")
    if view.calls[-1].name == "finish":
        return bash("cat job.py test_it.py", "Did I do that wrong?")
    return finish("answer() gives 42.")


FLAKY = Story(
    name="flaky test",
    task="answer() in job.py must give 42.",
    files={"job.py": "def answer():\n    return 0\n", "test_it.py": _FLAKY},
    checks=(CHECK,),
    weak=_flaky,
    strong=_flaky,
    done=passes("from job import answer; assert answer() == 42"),
    solves=ALL,
)

# 3 --------------------------------------------------------------------------------------------

_GOOD_SUM = "def total(rows):\n    return sum(int(row[1]) for row in rows)\n"
_BROKEN_SUMS = (
    "def total(rows):\n    return sum(int(row[1] for row in rows)\n",
    "def total(rows)\n    return sum(int(row[1]) for row in rows)\n",
)
SYNTAX = Story(
    name="syntax error loop",
    task="Write total(rows) in table.py: the sum of the second column.",
    files={
        "table.py": "def total(rows):\n    raise NotImplementedError\n",
        "test_it.py": "from table import total\n"
        + test_of("self.assertEqual(total([('a', '1'), ('b', '2')]), 3)"),
    },
    checks=(CHECK,),
    weak=stuck(
        lambda n: write("table.py", _BROKEN_SUMS[n % 2]),
        hint="sum(int(row[1]) for row in rows)",
        cure=write("table.py", _GOOD_SUM + "# as advised\n"),
        mark="as advised",
    ),
    strong=able(
        "Close the parentheses and end the def with a colon: sum(int(row[1]) for row in rows).",
        write("table.py", _GOOD_SUM),
        "table.py <<",
    ),
    done=passes("from table import total; assert total([('x', '4'), ('y', '5')]) == 9"),
)

# 4 --------------------------------------------------------------------------------------------

_SMALLEST = write("top.py", "def top(values, n):\n    return sorted(values)[:n]\n")
MISREAD = Story(
    name="misread task",
    task="top(values, n) in top.py must give the n best lap times, the best one first.",
    files={
        "top.py": "def top(values, n):\n    return []\n",
        "test_it.py": "from top import top\n"
        + test_of("self.assertEqual(top([71.2, 69.9, 70.4, 75.0], 2), [69.9, 70.4])"),
    },
    checks=(CHECK,),
    weak=stuck(
        lambda n: write(
            "top.py", f"def top(values, n):  # largest, {n}\n    return sorted(values)[-n:][::-1]\n"
        ),
        hint="smallest first",
        cure=_SMALLEST,
        mark="sorted(values)[:n]",
    ),
    strong=able("The best lap time is the smallest: smallest first.", _SMALLEST, "[:n]"),
    done=passes("from top import top; assert top([3, 1, 2], 2) == [1, 2]"),
)

# 5 --------------------------------------------------------------------------------------------

_TABS = "def area(w, h):\n\tif w and h:\n\t\treturn w + h\n\treturn 0\n"
_SED = bash("sed -i 's/return w + h/return w * h/' area.py", "The file is indented by tabs.")


def _spaces(n: int) -> Reply:
    # it never looks at what the file is indented with
    old = f"{' ' * (4 + n)}if w and h:\n{' ' * (8 + n)}return w + h"
    return replace("area.py", old, old.replace("+", "*"))


def _never_applies(view: View) -> Reply:
    inner = stuck(_spaces, hint="by tabs", cure=_SED, mark="sed -i")(view)
    failed = sum("ERROR" in call.result for call in view.calls)
    if inner.calls and inner.calls[0].name == "finish" and view.calls and not view.did("sed -i"):
        edits = sum(call.name == "str_replace_editor" for call in view.calls)
        if edits % 3 and failed and not view.advised("comes back to you"):
            return _spaces(edits)  # it tries three times before it thinks that it is done
    return inner


NEVER_APPLIES = Story(
    name="edit that never applies",
    task="area() in area.py must multiply.",
    files={
        "area.py": _TABS,
        "test_it.py": "from area import area\n" + test_of("self.assertEqual(area(3, 4), 12)"),
    },
    checks=(CHECK,),
    weak=_never_applies,
    strong=able("area.py is indented by tabs: edit the one line with sed.", _SED, "sed -i"),
    done=passes("from area import area; assert area(3, 4) == 12 and area(0, 4) == 0"),
)

# 6 --------------------------------------------------------------------------------------------

_MODULES = {f"pkg/part{n}.py": f"VALUE = {n}\n" * 120 for n in range(40)}
_LIMIT = bash("sed -i 's/LIMIT = 10/LIMIT = 20/' settings.py")


def _reads_on(view: View) -> Reply:
    if view.asked:
        return say("Read the rest as well.")
    if view.advised("comes back to you") or view.did("sed -i"):
        return finish("LIMIT is 20.")
    if view.advised("without a changed file") or view.taken_over:
        return _LIMIT  # told that nothing has moved, it stops reading
    return view_next(view)


def view_next(seen: View) -> Reply:
    """Read the next file of the package."""
    return view(f"pkg/part{len(seen.calls) % 40}.py", "Perhaps it matters what is in here.")


ENDLESS_READING = Story(
    name="endless reading",
    task="Set LIMIT in settings.py to 20.",
    files={
        **_MODULES,
        "settings.py": "LIMIT = 10\n",
        "test_it.py": "from settings import LIMIT\n" + test_of("self.assertEqual(LIMIT, 20)"),
    },
    checks=(CHECK,),
    weak=_reads_on,
    strong=able("Change LIMIT in settings.py.", _LIMIT, "sed -i", look="cat settings.py"),
    done=passes("from settings import LIMIT; assert LIMIT == 20"),
    limits=Limits(cost_usd=1.0, turns=32),
)

# 7 --------------------------------------------------------------------------------------------


def _verifies_on(view: View) -> Reply:
    if view.asked:
        return say("Look at it from another side as well.")
    if not view.did("sed -i"):
        return _LIMIT
    doubts = sum("grep" in str(call.arguments) for call in view.calls)
    if doubts >= 24 or view.advised("without a changed file"):
        return finish("LIMIT is 20, verified.")
    return bash(f"grep -n LIMIT settings.py; python3 -B test_it.py; : look {doubts}")


OVER_VERIFICATION = Story(
    name="over-verification",
    task=ENDLESS_READING.task,
    files={key: text for key, text in ENDLESS_READING.files.items() if "pkg" not in key},
    checks=(CHECK,),
    weak=_verifies_on,
    strong=ENDLESS_READING.strong,
    done=ENDLESS_READING.done,
    solves=ALL,
)

# 8 --------------------------------------------------------------------------------------------

_GREET = write("greet.py", "def greet(name):\n    return f'Hello, {name}!'\n")


def _boasts(view: View) -> Reply:
    if view.asked:
        return say("It is done already.")
    if view.advised("comes back to you"):
        return finish("Done, as reported.")
    if view.advised("has not been written yet"):
        return finish("greet() is there now.") if view.did("Hello") else _GREET
    return say("I have implemented greet() and all tests pass. Everything is done!")


FALSE_DONE = Story(
    name='false "done"',
    task="Write greet(name) in greet.py: greet('Ann') gives 'Hello, Ann!'.",
    files={
        "test_it.py": "try:\n    from greet import greet\nexcept ImportError:\n    greet = None\n"
        + test_of("self.assertTrue(greet and greet('Ann') == 'Hello, Ann!')")
    },
    checks=(CHECK,),
    weak=_boasts,
    strong=able("greet.py has not been written yet: write it.", _GREET, "Hello"),
    done=passes("from greet import greet; assert greet('Bo') == 'Hello, Bo!'"),
)

# 9 --------------------------------------------------------------------------------------------

_NAMES = bash(
    "python3 -c \"import json; rows = json.load(open('data.json'));"
    " open('names.txt', 'w').write('\\n'.join(sorted(r['name'] for r in rows)) + '\\n')\"",
    "Python can read JSON.",
)
MISSING_TOOL = Story(
    name="missing tool",
    task="Write the names in data.json to names.txt, sorted, one a line.",
    files={
        "data.json": '[{"name": "Zoe"}, {"name": "Ann"}, {"name": "Max"}]',
        "test_it.py": "import pathlib\nnames = pathlib.Path('names.txt')\n"
        "got = names.read_text() if names.exists() else None\n"
        + test_of("self.assertEqual(got, 'Ann\\nMax\\nZoe\\n')"),
    },
    checks=(CHECK,),
    weak=stuck(
        lambda n: bash("yq4 -r '.[].name' data.json | sort > names.txt; test -s names.txt"),
        hint="read it with Python",
        cure=_NAMES,
        mark="json.load",
    ),
    strong=able("yq4 is not installed; read it with Python.", _NAMES, "json.load"),
    done=lambda folder: (
        (folder / "names.txt").read_text() == "Ann\nMax\nZoe\n"
        if (folder / "names.txt").exists()
        else False
    ),
)

# 10 -------------------------------------------------------------------------------------------

_CANNOT_RUN = "the check's command is not installed"
CHECK_CANNOT_RUN = Story(
    name="check that cannot run",
    task="Set LIMIT in settings.py to 20.",
    files={"settings.py": "LIMIT = 10\n"},
    checks=("no-such-linter --strict settings.py",),
    weak=told_so(
        _CANNOT_RUN, stuck(lambda n: bash(f"sed -i 's/= 10/= 20/' settings.py; : {n}"),
                           hint="(never)", cure=_LIMIT, mark="(never)")
    ),
    strong=gives_up(f"LIMIT can be set, but {_CANNOT_RUN}.", _LIMIT),
    done=lambda folder: False,
    solves=NOBODY,
)  # fmt: skip

# 11 -------------------------------------------------------------------------------------------

_TABLE = "\n".join(f"    {n}: 'word{n}'," for n in range(30))
_WORDS = write("words.py", f"WORDS = {{\n{_TABLE}\n}}\n")


def _floods(view: View) -> Reply:
    if view.asked:
        return say("Answer with the whole file.")
    if view.advised("comes back to you") or view.did("WORDS"):
        return finish("words.py is written.")
    if view.advised("output cut"):
        return _WORDS  # told why nothing arrives, it writes the file in a call
    flood = "Here is the file, and all that I thought about it:\n" + "word, " * 3_000
    return Reply(content=flood, reasoning=think("I answer at length."), finish_reason="length")


CUT_OUTPUT = Story(
    name="cut output",
    task="Write words.py: WORDS maps each of 0 to 29 to 'word' and the number.",
    files={
        "test_it.py": "try:\n    from words import WORDS\nexcept ImportError:\n    WORDS = {}\n"
        + test_of("self.assertEqual(WORDS.get(29), 'word29')")
    },
    checks=(CHECK,),
    weak=_floods,
    strong=able("Write words.py with a call.", _WORDS, "WORDS"),
    done=passes("from words import WORDS; assert len(WORDS) == 30 and WORDS[7] == 'word7'"),
)

# 12 -------------------------------------------------------------------------------------------

_CONTRADICTS = "the test contradicts itself"
CANNOT_PASS = Story(
    name="test that cannot pass",
    task="Make the test pass.",
    files={
        "count.py": "def count():\n    return 3\n",
        "test_it.py": "from count import count\n"
        + test_of("self.assertEqual(count(), 3)\nself.assertEqual(count(), 4, 'count')"),
    },
    checks=(CHECK,),
    weak=told_so(
        _CONTRADICTS,
        stuck(
            lambda n: write("count.py", f"def count():\n    return {3 + n % 2}\n"),
            hint="(never)",
            cure=_LIMIT,
            mark="(never)",
        ),
    ),
    strong=gives_up(f"{_CONTRADICTS}: count() cannot be 3 and 4.", bash("cat count.py test_it.py")),
    done=lambda folder: False,
    solves=NOBODY,
)

# 13 -------------------------------------------------------------------------------------------

_SECRET = hashlib.sha256(b"no dictionary has this: 8c1f-44q").hexdigest()
UNSOLVABLE = Story(
    name="task that cannot be solved",
    task="Find the password whose SHA-256 is in hash.txt, and write it to password.txt.",
    files={
        "hash.txt": _SECRET,
        "test_it.py": "import hashlib, pathlib\np = pathlib.Path('password.txt')\n"
        "got = hashlib.sha256(p.read_bytes()).hexdigest() if p.exists() else None\n"
        + test_of("self.assertEqual(got, pathlib.Path('hash.txt').read_text())"),
    },
    checks=(CHECK,),
    # it does not believe that it cannot be done, whatever it is told
    weak=stuck(
        lambda n: bash(f"printf 'letmein{n}' > password.txt"),
        hint="(never)", cure=_LIMIT, mark="(never)",
    ),
    strong=gives_up(
        "A SHA-256 cannot be inverted, and no guess fits.",
        bash("for w in admin secret 123456; do printf $w | sha256sum; done; cat hash.txt"),
    ),
    done=lambda folder: False,
    solves=NOBODY,
)  # fmt: skip

# 14 -------------------------------------------------------------------------------------------


def _both_wrong(view: View) -> Reply:
    return stuck(
        lambda n: write("leap.py", f"def leap(y):  # {n}\n    return y % 4 == 0\n"),
        hint="(never)", cure=_LIMIT, mark="(never)",
    )(view)  # fmt: skip


BOTH_FAIL = Story(
    name="both rungs fail",
    task="leap(year) in leap.py must follow the Gregorian calendar.",
    files={
        "leap.py": "def leap(y):\n    return False\n",
        "test_it.py": "from leap import leap\n"
        + test_of("self.assertEqual([leap(1900), leap(2000), leap(2024)], [False, True, True])"),
    },
    checks=(CHECK,),
    weak=_both_wrong,
    strong=_both_wrong,
    done=passes("from leap import leap; assert not leap(1900)"),
    solves=NOBODY,
)

# 15 -------------------------------------------------------------------------------------------

_SLUG = write("slug.py", "def slug(text):\n    return '-'.join(text.lower().split()).strip('-')\n")


def _breaks_more(n: int) -> Reply:
    if n == 0:
        return bash("cat slug.py", "Is there anything to do at all?")
    return bash(f"echo 'raise SystemExit({n})' > other.py; echo '# {n}' >> slug.py")


MADE_WORSE = Story(
    name="attempt makes things worse",
    task="slug() in slug.py must be lower case, with dashes. other.py must go on working.",
    files={
        "slug.py": "def slug(text):\n    return text\n",
        "other.py": "def twice(x):\n    return 2 * x\n",
        "test_it.py": "from slug import slug\n"
        + test_of("self.assertEqual(slug('Big News'), 'big-news')"),
    },
    checks=('python3 -B -c "import other; assert other.twice(2) == 4"', CHECK),
    weak=stuck(_breaks_more, hint="(never)", cure=_SLUG, mark="(never)"),
    strong=able("Lower the text and join its words by dashes.", _SLUG, "lower()"),
    done=passes(
        "from slug import slug; from other import twice;"
        "assert slug('A B') == 'a-b' and twice(3) == 6"
    ),
)

STORIES: Mapping[str, Story] = {
    story.name: story
    for story in (
        WRONG_FILE,
        FLAKY,
        SYNTAX,
        MISREAD,
        NEVER_APPLIES,
        ENDLESS_READING,
        OVER_VERIFICATION,
        FALSE_DONE,
        MISSING_TOOL,
        CHECK_CANNOT_RUN,
        CUT_OUTPUT,
        CANNOT_PASS,
        UNSOLVABLE,
        BOTH_FAIL,
        MADE_WORSE,
    )
}
