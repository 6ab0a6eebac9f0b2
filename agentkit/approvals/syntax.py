"""A shell command as its syntax tree: every simple command that it holds, wherever it hides.

The parser is tree-sitter with its bash grammar. It tolerates faults, so what it does not cover, or
marks as an error, or nests too deep, makes the whole command *incomplete*: nobody may conclude
anything from the commands that were found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from agentkit.approvals.heredocs import doubt

if TYPE_CHECKING:
    from tree_sitter import Node

MOST_BYTES = 100_000
"""Of a command that is looked at; a longer one is incomplete."""
MOST_DEPTH = 200
"""Levels of the tree."""


def words_of(text: str) -> frozenset[str]:
    """The names in a text, for tables."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a command, quotes and backslashes taken off."""

    text: str
    """As far as it is known; else as it is written."""
    known: bool = True
    """False where it is only known when it runs, and may then be several words, or an option."""
    many: bool = False
    """A pattern outside of quotes: files' names take its place, one or several."""


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command: its words, and what goes on around them."""

    words: tuple[Word, ...]
    assigns: tuple[str, ...] = ()
    """Variables that are set for it, as ``NAME=VALUE``; all of a bare assignment."""
    writes: tuple[Word, ...] = ()
    """Files that its output is redirected to."""
    reads: tuple[Word, ...] = ()
    """Files that its input is redirected from."""
    fed: bool = False
    """It reads what another command, or the text itself, gives it."""

    @property
    def name(self) -> str:
        """The command's name, "" where it is not known."""
        first = self.words[0] if self.words else Word("", known=False)
        return first.text if first.known and not _GLOB.search(first.text) else ""

    @property
    def text(self) -> str:
        """The words with a space between them."""
        return " ".join(word.text for word in self.words)


@dataclass(slots=True)
class Script:
    """What was found in one text."""

    commands: list[Simple] = field(default_factory=list[Simple])
    defines: list[str] = field(default_factory=list[str])
    """Functions that it defines."""
    listed: list[Word] = field(default_factory=list[Word])
    """Words that reach commands by another way: of ``for``, of a text on standard input."""
    oddities: list[str] = field(default_factory=list[str])
    """Constructs beyond plain commands, in words: what they do is not judged here."""
    problem: str = ""
    """Why it is incomplete, "" where it is not."""


_PLAIN = frozenset(
    {
        "program", "list", "pipeline", "redirected_statement", "command", "command_name", "word",
        "raw_string", "string", "string_content", "concatenation", "number", "simple_expansion",
        "variable_name", "special_variable_name", "command_substitution", "subshell",
        "compound_statement", "negated_command", "for_statement", "do_group", "if_statement",
        "elif_clause", "else_clause", "while_statement", "file_redirect", "file_descriptor",
        "comment", "brace_expression", "extglob_pattern", "regex",
    }
)  # fmt: skip
"""Nodes that mean nothing beyond the commands in them."""
_ODD = {
    "function_definition": "defines a function",
    "variable_assignment": "sets a variable",
    "variable_assignments": "sets variables",
    "declaration_command": "declares variables",
    "unset_command": "unsets variables",
    "process_substitution": "runs a command whose output or input is a file",
    "heredoc_redirect": "is given a text on standard input",
    "heredoc_body": "",
    "heredoc_content": "",
    "heredoc_start": "",
    "heredoc_end": "",
    "herestring_redirect": "is given a text on standard input",
    "expansion": "computes a value with ${…}",
    "arithmetic_expansion": "computes with $((…))",
    "ansi_c_string": "has an escaped string",
    "translated_string": "has a translated string",
    "test_command": "tests with [ or [[",
    "case_statement": "has a case",
    "case_item": "",
    "c_style_for_statement": "computes in a loop",
    "subscript": "uses an array",
    "array": "uses an array",
    "binary_expression": "",
    "unary_expression": "",
    "postfix_expression": "",
    "parenthesized_expression": "",
    "ternary_expression": "",
    "test_operator": "",
    "word_list": "",
}
"""Other nodes that are understood, with what is said of them."""
HARMLESS = frozenset(
    {"is given a text on standard input", "has an escaped string", "has a translated string"}
)
"""Oddities that run nothing and change no state of the shell."""
_EXPANSION = re.compile(r"\$(\w+|[@*#?!$-])")
_WRITES = frozenset({">", ">>", ">|", "&>", "&>>"})
_JOINS = re.compile(r"\d*-?")
"""Behind ``>&`` or ``<&``: another stream, or none."""
_HEREDOC = frozenset({"<<", "<<-", "heredoc_start", "heredoc_body", "heredoc_end"})
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_SPECIAL_NAME = re.compile(r"[A-Z_]")
_ESCAPE = re.compile(r"\\(?:\n|(.))", re.DOTALL)
_ESCAPE_IN_QUOTES = re.compile(r'\\(?:\n|([$`"\\]))')
_GLOB = re.compile(r"[*?\[]")
_HIDES = re.compile(r"[$`\"';&|<>()]")
"""What cannot be in a word that was read rightly."""
_HIDES_IN_QUOTES = re.compile(r"`|\$[({\w@*#?!$-]")


@cache
def _parser() -> Any:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def parse(text: str) -> Script:
    """All simple commands of a text, in order, those in substitutions and bodies too."""
    script = Script()
    try:
        data = text.encode()
    except UnicodeEncodeError:
        script.problem = "it is not valid text"
        return script
    if len(data) > MOST_BYTES:
        script.problem = f"it is longer than {MOST_BYTES:,} bytes"
        return script
    # The scanner looks characters up in a table of 256: "{\U0010ffff" may end the process.
    # To a shell, what is beyond ASCII is a letter: as letters of the same length they do no harm.
    root = _parser().parse(_BEYOND_ASCII.sub(b"x", data)).root_node
    if root.has_error:
        script.problem = "its syntax is not understood"
    elif (gap := _uncovered(root, data)) is not None:
        script.problem = f"a part of it is not understood: {gap!r}"
    _Walker(script, data).walk(root, 0)
    return script


def _uncovered(root: Node, data: bytes) -> str | None:
    """What no leaf of the tree holds, blanks and escaped line ends apart."""
    end = 0
    for leaf in _leaves(root):
        gap = data[end : leaf.start_byte]
        joins = gap and not gap.replace(b"\\\n", b"")  # a shell reads one word, the tree has two
        if joins or gap.replace(b"\\\n", b"").strip(b" \t\n"):
            return gap.decode("utf-8", "replace")
        end = max(end, leaf.end_byte)
    rest = data[end:].replace(b"\\\n", b"").strip(b" \t\n")
    return rest.decode("utf-8", "replace") if rest else None


def _leaves(root: Node) -> Iterator[Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        # A string's content is judged as a whole, between its quotes.
        if node.child_count == 0 or node.type in ("string", "heredoc_body"):
            yield node
        else:
            stack.extend(reversed(node.children))


@dataclass(slots=True)
class _Around:
    """What redirections say of the command that they belong to."""

    words: list[Word] = field(default_factory=list[Word])
    """Its further words: the grammar puts what stands behind a redirection into it."""
    writes: list[Word] = field(default_factory=list[Word])
    reads: list[Word] = field(default_factory=list[Word])
    fed: bool = False


class _Walker:
    """Collects what a tree holds."""

    def __init__(self, script: Script, data: bytes) -> None:
        self._script = script
        self._data = data
        self._taken: set[int] = set()
        """Redirections whose parts were looked at."""
        self._behind: dict[int, _Around] = {}
        """For a command, what the redirections behind its statement say."""

    def walk(self, node: Node, depth: int, *, fed: bool = False) -> None:
        """Take in a node and all below it."""
        if depth > MOST_DEPTH:
            self._problem("it is nested too deep")
            return
        self._look_at(node)
        if node.type == "command":
            self._command(node, fed)
        elif node.type == "redirected_statement":
            fed = self._redirected(node) or fed
        elif node.type in ("variable_assignment", "variable_assignments", "declaration_command"):
            self._assigns(node)
        elif not _is_redirect(node):
            self._group(self._around([each for each in node.children if _is_redirect(each)]))
        for index, child in enumerate(node.children):
            later = index > 0 and (node.type == "pipeline" or node.children[0].type == ">(")
            self.walk(child, depth + 1, fed=later or (fed and node.type != "command"))

    def _problem(self, words: str) -> None:
        self._script.problem = self._script.problem or words

    def _look_at(self, node: Node) -> None:
        kind = node.type
        if not node.is_named:
            if kind == "`":
                self._odd("has commands in backquotes")
            return
        if _is_redirect(node) and node.id not in self._taken:
            self._problem("a redirection belongs to nothing that is known")
        if kind in _PLAIN:
            self._plain(node)
        elif kind in _ODD:
            before = node.parent is not None and node.parent.type == "command"
            if not (kind == "variable_assignment" and before):  # that is the command's own
                self._odd(_ODD[kind])
            if kind == "function_definition":
                name = node.child_by_field_name("name")
                self._script.defines.append(self._text(name) if name is not None else "")
        else:
            self._problem(f"it holds a {kind}, which is not understood")

    def _plain(self, node: Node) -> None:
        if node.type == "comment":
            before = self._data[: node.start_byte].rpartition(b"\n")[2]
            if before.strip():
                self._odd("has a comment behind a command")
        elif node.type == "simple_expansion":
            follows = self._data[node.end_byte : node.end_byte + 1]
            # The grammar sees one in "$ $(rm x)", over the blank.
            if not _EXPANSION.fullmatch(self._text(node)) or follows in (b"(", b"{", b"["):
                self._problem("a variable is not understood")
        elif node.type == "regex" and _HIDES_IN_QUOTES.search(self._text(node)):
            self._problem("a pattern is not understood")
        elif node.type == "for_statement":
            name = node.child_by_field_name("variable")
            if name is None or _SPECIAL_NAME.search(self._text(name)):
                self._odd("sets a variable that programs obey")
            values = node.children_by_field_name("value")
            self._script.listed += [self._word(each) for each in values]

    def _odd(self, words: str) -> None:
        if words and words not in self._script.oddities:
            self._script.oddities.append(words)

    def _assigns(self, node: Node) -> None:
        parent = node.parent
        if parent is not None and parent.type in ("command", "variable_assignments"):
            return
        if parent is not None and parent.type == "declaration_command":
            return
        self._script.commands.append(Simple((), assigns=(self._text(node),)))

    def _redirected(self, node: Node) -> bool:
        """A statement with redirections behind it, which belong to its last or only command.

        Returns:
            Whether it is given something to read.
        """
        around = self._around([each for each in node.children if _is_redirect(each)])
        last = _last_command(node.child_by_field_name("body"))
        if last is None:
            self._group(around)
        else:
            self._behind[last.id] = around
        return around.fed

    def _group(self, around: _Around) -> None:
        """Redirections of a group: nobody's words, but they write and read."""
        if around.words:
            self._problem("words stand behind a group of commands")
        if around.writes or around.reads:
            writes, reads = tuple(around.writes), tuple(around.reads)
            self._script.commands.append(Simple((), (), writes, reads))

    def _command(self, node: Node, fed: bool) -> None:
        words: list[Word] = []
        assigns: list[str] = []
        own = self._around([each for each in node.children if _is_redirect(each)])
        behind = self._behind.get(node.id, _Around())
        if own.words:
            self._problem("words stand behind a redirection in front of a command")
        for child in node.children:
            if child.type == "variable_assignment":
                assigns.append(self._text(child))
            elif child.type == "command_name":
                words.append(self._word(child.children[0]) if child.children else Word("", False))
            elif not _is_redirect(child):
                words.append(self._word(child))
        self._script.commands.append(
            Simple(
                (*words, *behind.words),
                tuple(assigns),
                (*own.writes, *behind.writes),
                (*own.reads, *behind.reads),
                fed or own.fed or behind.fed,
            )
        )

    def _around(self, nodes: list[Node]) -> _Around:
        """What these redirections say; what is not understood in them is a problem."""
        around = _Around()
        for node in nodes:
            self._redirect(node, around)
        return around

    def _redirect(self, node: Node, around: _Around) -> None:
        self._taken.add(node.id)
        if node.type == "file_redirect":
            self._file(node, around)
        elif node.type == "heredoc_redirect":
            around.fed = True
            self._heredoc(node, around)
        else:
            around.fed = True
            if [each.is_named for each in node.children] != [False, True]:
                self._problem("a text on standard input is not understood")
            self._script.listed += [self._word(each) for each in node.children[1:]]

    def _file(self, node: Node, around: _Around) -> None:
        parts = [each for each in node.children if each.type != "file_descriptor"]
        operator = parts[0].type if parts and not parts[0].is_named else ""
        words = [self._word(each) for each in parts[1:]]
        if not all(each.is_named for each in parts[1:]):
            self._problem("a redirection is not understood")
        around.fed = around.fed or operator.startswith("<")
        if operator not in ("<&-", ">&-"):  # those close a stream: no file follows
            self._target(operator, words[0] if words else None, around)
            words = words[1:]
        around.words += words

    def _target(self, operator: str, target: Word | None, around: _Around) -> None:
        joins = target is not None and target.known and _JOINS.fullmatch(target.text)
        if target is None:
            self._problem("a redirection has no file")
        elif operator in ("<&", ">&") and joins:
            return
        elif operator in ("<", "<&"):
            around.reads.append(target)
        elif operator == ">&" or operator in _WRITES:
            if not (target.known and target.text == "/dev/null"):
                around.writes.append(target)
        else:
            self._problem(f"it redirects with {operator!r}, which is not understood")

    def _heredoc(self, node: Node, around: _Around) -> None:
        """A here-document: the grammar keeps the rest of the marker's line inside of it."""
        if why := doubt(node, self._data):
            self._problem(why)
        other = False  # behind this, words and files are another command's
        for index, child in enumerate(node.children):
            place = node.field_name_for_child(index)
            if child.type in _HEREDOC:
                self._script.listed += [
                    self._word(each) for each in child.children if each.type == "simple_expansion"
                ]
                continue
            if child.type == "pipeline" or place in ("operator", "right"):
                other = True
            elif other:
                self._problem("what stands behind a here-document's marker is not understood")
            elif _is_redirect(child):
                self._redirect(child, around)
            elif place == "argument":
                around.words.append(self._word(child))
            elif child.type != "file_descriptor":
                self._problem("what stands behind a here-document's marker is not understood")

    def _word(self, node: Node) -> Word:
        text = self._text(node)
        if node.type in ("word", "number") and _HIDES.search(_ESCAPE.sub("", text)):
            self._problem("a word of it is not understood")
        match node.type:
            case "word" | "number" | "regex":
                return _bare(text) if node.child_count == 0 else Word(text, False)
            case "raw_string":
                return Word(text[1:-1])
            case "string":
                plain = all(not each.is_named or each.type == "string_content"
                            for each in node.children)  # fmt: skip
                if not plain:
                    return Word(text, False)
                if _HIDES_IN_QUOTES.search(_ESCAPE.sub("", text)):
                    self._problem("a string is not understood")
                return Word(_ESCAPE_IN_QUOTES.sub(lambda found: found[1] or "", text[1:-1]))
            case "concatenation":
                return _joined([self._word(each) for each in node.children], text)
            case _:
                return Word(text, False)

    def _text(self, node: Node) -> str:
        return self._data[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _bare(text: str) -> Word:
    """An unquoted word. What braces or a leading pattern become is not known beforehand."""
    if re.search(r"[{}]", _ESCAPE.sub("", text)):
        return Word(text, False)
    if _GLOB.search(text) and (text[0] in "*?[-" or "\\" in text):
        return Word(text, False)  # a file's name may begin with a dash, and is then an option
    many = _GLOB.search(text) is not None
    return Word(_ESCAPE.sub(lambda found: found[1] or "", text), many=many)


def _joined(words: list[Word], text: str) -> Word:
    if "{" in text and any("," in word.text or ".." in word.text for word in words):
        return Word(text, False)
    if not all(word.known for word in words):
        return Word(text, False)
    return Word("".join(word.text for word in words), many=any(word.many for word in words))


def _is_redirect(node: Node) -> bool:
    return node.type.endswith("_redirect")


def _last_command(body: Node | None) -> Node | None:
    """The command that redirections behind a statement belong to; None for a group's."""
    while body is not None and body.type in ("pipeline", "list", "negated_command"):
        body = body.children[-1] if body.children else None
    return body if body is not None and body.type == "command" else None
