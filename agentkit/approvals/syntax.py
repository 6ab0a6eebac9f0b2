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


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command: its words, and what goes on around them."""

    words: tuple[Word, ...]
    assigns: tuple[str, ...] = ()
    """Variables that are set for it, as ``NAME=VALUE``; all of a bare assignment."""
    writes: tuple[Word, ...] = ()
    """Files that its output is redirected to."""
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
    root = _parser().parse(data).root_node
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


class _Walker:
    """Collects what a tree holds."""

    def __init__(self, script: Script, data: bytes) -> None:
        self._script = script
        self._data = data

    def walk(self, node: Node, depth: int, *, fed: bool = False) -> None:
        """Take in a node and all below it."""
        if depth > MOST_DEPTH:
            self._script.problem = self._script.problem or "it is nested too deep"
            return
        self._look_at(node)
        if node.type == "command":
            self._command(node, [], fed)
        elif node.type == "redirected_statement":
            self._redirected(node, depth, fed)
            return
        elif node.type in ("variable_assignment", "variable_assignments", "declaration_command"):
            self._assigns(node)
        for index, child in enumerate(node.children):
            later = node.type == "pipeline" and index > 0
            self.walk(child, depth + 1, fed=later or (fed and node.type != "command"))

    def _look_at(self, node: Node) -> None:
        kind, script = node.type, self._script
        if not node.is_named:
            if kind == "`":
                self._odd("has commands in backquotes")
            return
        if kind in _PLAIN:
            self._plain(node)
        elif kind in _ODD:
            before = node.parent is not None and node.parent.type == "command"
            if not (kind == "variable_assignment" and before):  # that is the command's own
                self._odd(_ODD[kind])
            if kind == "function_definition":
                name = node.child_by_field_name("name")
                script.defines.append(self._text(name) if name is not None else "")
        else:
            script.problem = script.problem or f"it holds a {kind}, which is not understood"

    def _plain(self, node: Node) -> None:
        if node.type == "comment":
            before = self._data[: node.start_byte].rpartition(b"\n")[2]
            if before.strip():
                self._odd("has a comment behind a command")
        elif node.type == "for_statement":
            name = node.child_by_field_name("variable")
            if name is None or _SPECIAL_NAME.search(self._text(name)):
                self._odd("sets a variable that programs obey")
        elif node.type == "file_redirect" and _write_target(node) is None:
            operator = next((each.type for each in node.children if not each.is_named), "")
            if operator not in ("<", ">&", "<&", ">", ">>"):
                self._odd(f"redirects with {operator}")

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

    def _redirected(self, node: Node, depth: int, fed: bool) -> None:
        """A statement with redirections behind it, which belong to its last or only command."""
        targets = [each for each in node.children if each.type.endswith("_redirect")]
        fed = fed or any(each.type != "file_redirect" for each in targets)
        fed = fed or any(each.children and each.children[0].type == "<" for each in targets)
        for child in node.children:
            if child.type == "command":
                self._look_at(child)
                self._command(child, targets, fed)
                for each in child.children:
                    self.walk(each, depth + 2)
            else:
                self.walk(child, depth + 1, fed=fed)
        if not any(child.type == "command" for child in node.children):
            self._bare_redirects(targets)

    def _bare_redirects(self, targets: list[Node]) -> None:
        """Redirections of a group: nobody's words, but they write."""
        writes = self._writes(targets)
        if writes:
            self._script.commands.append(Simple((), writes=writes))

    def _command(self, node: Node, targets: list[Node], fed: bool) -> None:
        words: list[Word] = []
        assigns: list[str] = []
        own = [each for each in node.children if each.type.endswith("_redirect")]
        fed = fed or any(each.type != "file_redirect" for each in own)
        for child in node.children:
            if child.type == "variable_assignment":
                assigns.append(self._text(child))
            elif child.type == "command_name":
                words.append(self._word(child.children[0]) if child.children else Word("", False))
            elif not child.type.endswith("_redirect"):
                words.append(self._word(child))
        writes = self._writes([*own, *targets])
        self._script.commands.append(Simple(tuple(words), tuple(assigns), writes, fed))

    def _writes(self, targets: list[Node]) -> tuple[Word, ...]:
        found: list[Word] = []
        for each in targets:
            target = _write_target(each)
            if target is not None:
                found.append(self._word(target))
        return tuple(word for word in found if not (word.known and word.text == "/dev/null"))

    def _word(self, node: Node) -> Word:
        text = self._text(node)
        if node.type in ("word", "number") and _HIDES.search(_ESCAPE.sub("", text)):
            self._script.problem = self._script.problem or "a word of it is not understood"
        match node.type:
            case "word" | "number" | "extglob_pattern" | "regex":
                return _bare(text) if node.child_count == 0 else Word(text, False)
            case "raw_string":
                return Word(text[1:-1])
            case "string":
                plain = all(not each.is_named or each.type == "string_content"
                            for each in node.children)  # fmt: skip
                if not plain:
                    return Word(text, False)
                if _HIDES_IN_QUOTES.search(_ESCAPE.sub("", text)):
                    self._script.problem = self._script.problem or "a string is not understood"
                return Word(_ESCAPE_IN_QUOTES.sub(lambda found: found[1] or "", text[1:-1]))
            case "concatenation":
                return _joined([self._word(each) for each in node.children], text)
            case _:
                return Word(text, False)

    def _text(self, node: Node) -> str:
        return self._data[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _bare(text: str) -> Word:
    """An unquoted word. What braces or a leading pattern become is not known beforehand."""
    if "{" in text or "}" in text:
        return Word(text, False)
    if _GLOB.search(text) and (text[0] in "*?[-" or "\\" in text):
        return Word(text, False)  # a file's name may begin with a dash, and is then an option
    return Word(_ESCAPE.sub(lambda found: found[1] or "", text))


def _joined(words: list[Word], text: str) -> Word:
    if "{" in text and any("," in word.text or ".." in word.text for word in words):
        return Word(text, False)
    if not all(word.known for word in words):
        return Word(text, False)
    return Word("".join(word.text for word in words))


def _write_target(node: Node) -> Node | None:
    """The file that a redirection writes; None where it only reads, or joins two streams."""
    if node.type != "file_redirect":
        return None
    operator = next((each.type for each in node.children if not each.is_named), "")
    target = node.child_by_field_name("destination")
    if target is None:
        target = node.children[-1]
    if operator in ("<", "<&", "<<<", "<&-", ">&-"):
        return None
    if operator == ">&" and target.type in ("number", "file_descriptor"):
        return None
    return target
