"""The scripted model: it reproduces the bug, mends half of it, sees that, and mends the rest."""

from __future__ import annotations

from agentkit.testing import Call, Reply


def bash(command: str) -> Call:
    """A command for the shell."""
    return Call("bash", {"command": command})


def replace(workdir: str, old: str, new: str) -> Call:
    """An edit of the module."""
    path = f"{workdir}/texttable.py"
    arguments = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
    return Call("str_replace_editor", arguments)


REPRODUCE = """\
python3 - <<'EOF'
from texttable import Texttable
table = Texttable().add_rows([["Town"], ["Ulm"]])
table.draw()
print(table.add_row(["Friedrichshafen"]).draw())
EOF"""

TESTS = """\
cat >> tests.py <<'EOF'

def test_redraw_measures_a_new_row():
    table = Texttable().add_rows([["Town"], ["Ulm"]])
    table.draw()
    table.add_row(["Friedrichshafen"])
    rows = [["Town"], ["Ulm"], ["Friedrichshafen"]]
    assert table.draw() == Texttable().add_rows(rows).draw()

def test_redraw_keeps_widths_that_were_set():
    table = Texttable().set_cols_width([6]).add_rows([["Town"], ["Ulm"]])
    width = len(table.draw().splitlines()[0])
    table.add_row(["Friedrichshafen"])
    assert {len(line) for line in table.draw().splitlines()} == {width}
EOF
python3 -m pytest -q tests.py"""


def answers(workdir: str) -> list[Reply]:
    """The answers, for a workspace at that path."""
    return [
        Reply(
            reasoning="First I want to see it happen, and who decides on widths.",
            calls=[bash(REPRODUCE), bash(r"grep -n '_width\b\|_hline_string' texttable.py")],
        ),
        Reply(
            reasoning="The row is wrapped at the old width. Widths are computed once: _width, when "
            "it exists, is taken for a wish of the user.",
            calls=[bash("sed -n '345,352p;619,632p' texttable.py")],
        ),
        Reply(
            content="What the user set and what was computed share one attribute. I part them.",
            calls=[
                replace(
                    workdir,
                    "        self._precision = 3\n",
                    "        self._precision = 3\n        self._fixed_width = None\n",
                ),
                replace(
                    workdir, "        self._width = array\n", "        self._fixed_width = array\n"
                ),
                replace(
                    workdir,
                    '        if hasattr(self, "_width"):\n            return\n',
                    "        if self._fixed_width:\n"
                    "            self._width = self._fixed_width\n"
                    "            return\n",
                ),
                bash(TESTS),
            ],
        ),
        Reply(
            reasoning="The cells are right now, the rules between them are not: _hline_string "
            "still holds the first drawing's rule. It depends on the widths, so it goes with them.",
            calls=[
                replace(
                    workdir,
                    "        if self._fixed_width:\n",
                    "        self._hline_string = None\n        if self._fixed_width:\n",
                ),
                bash("python3 -m pytest -q tests.py && " + REPRODUCE),
            ],
        ),
        Reply(
            calls=[
                Call(
                    "finish",
                    {
                        "summary": "Widths are measured again at each draw() unless set_cols_width "
                        "fixed them, and the rule is built anew with them. Two tests were added."
                    },
                )
            ]
        ),
    ]
