"""Mistakes that can be made in a file of Python or SQL: each one a piece of the text and what stands there instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

OPERATORS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "/",
             "//": "*", "and": "or", "or": "and", "is": "is not", "is not": "is", "in": "not in",
             "not in": "in"}  # fmt: skip
FUNCTIONS = {"min": "max", "max": "min", "least": "greatest", "greatest": "least", "lag": "lead", "lead": "lag"}
OPPOSITES = {**OPERATORS, **FUNCTIONS, "true": "false", "false": "true", "is null": "is not null",
             "is not null": "is null", " desc": "", " strict": "", "for share": "for update"}  # fmt: skip
A_NAME = r"(?!desc\b)[\w.]+(?:\[\w+\])?"
SQL_RULES = {
    "operator": r"(?<=[\w)\]] )(?:<=|>=|<|>|\+|-|\*(?! from)|or(?! replace))(?= [\w(\0-])",
    "function": r"\b(?:min|max|least|greatest|lag|lead)(?=\()",
    "opposite": r"\b(?:true|false|is null|is not null|for share)\b| desc\b| strict\b",
    "constant": r"(?<![\w.$])\d+(?:\.\d+)?(?![\w.])",
    "swapped arguments": rf"(?<=[(\s])(?<!least\()(?<!greatest\(){A_NAME},\s+{A_NAME}(?=[,)])",
    "dropped line": r"(?m)^ +(?:and |perform |close |exit |continue |grant |\w+ := ).*\n",
}
SQL_STRING = re.compile(r"\W*(?:select|insert|update|delete|with|copy|lock|alter|drop|create)\s", re.IGNORECASE)
NO_CODE = re.compile(r"--.*|'(?:[^']|'')*'|(?s:^comment on .*?;$)", re.MULTILINE)


@dataclass(frozen=True)
class Mistake:
    """``source[start:end]`` becomes ``text``; offsets in bytes."""

    kind: str
    start: int
    end: int
    text: bytes

    def made_in(self, source: bytes) -> bytes:
        """The source with this mistake."""
        return source[: self.start] + self.text + source[self.end :]


def sql_mistakes(source: bytes) -> Iterator[Mistake]:
    """All mistakes in the code of a file of SQL; comments and strings are left as they are."""
    text = source.decode("latin-1")  # a character a byte
    code = NO_CODE.sub(lambda found: re.sub(r"[^\n]", "\0", found[0]), text)
    for kind, rule in SQL_RULES.items():
        for found in re.finditer(rule, code):
            if kind != "dropped line" or found[0].count("(") == found[0].count(")"):
                yield Mistake(kind, found.start(), found.end(), _instead(kind, found[0]).encode("latin-1"))


def _instead(kind: str, piece: str) -> str:
    if kind == "constant":
        return f"{float(piece) + 1:g}" if "." in piece else str(int(piece) + 1)
    if kind == "swapped arguments":
        return "".join(reversed(re.split(r"(,\s+)", piece)))
    if kind == "dropped line":
        return ";\n" if piece.lstrip().startswith("and ") and piece.endswith(";\n") else ""
    return OPPOSITES[piece]


def python_mistakes(source: bytes) -> Iterator[Mistake]:
    """All mistakes in a module of Python, those in its statements of SQL too; annotations are left as they are."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node in _code(ast.parse(source)):
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

        def place(of: ast.expr) -> tuple[int, int]:
            """First byte of an expression, and the one after its last."""
            return lines[of.lineno - 1] + of.col_offset, lines[(of.end_lineno or 0) - 1] + (of.end_col_offset or 0)

        yield from _swapped(node, place, source)
        match node:
            case ast.Compare(left=left, comparators=[right]) | ast.BinOp(left=left, right=right):
                yield from _operator(place(left)[1], place(right)[0], source)
            case ast.BoolOp(values=[left, right, *_]):
                yield from _operator(place(left)[1], place(right)[0], source)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield Mistake("dropped not", start, place(operand)[0], b"")
            case ast.Constant(value=bool() as value):
                yield Mistake("constant", start, end, str(not value).encode())
            case ast.Constant(value=int() | float() as value):
                yield Mistake("constant", start, end, repr(value + 1).encode())
            case ast.Constant(value=str() as value) if SQL_STRING.match(value):
                for each in sql_mistakes(source[start:end].replace(b"'", b'"')):
                    yield Mistake(f"SQL: {each.kind}", start + each.start, start + each.end, each.text)
            case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Raise():
                yield Mistake("dropped line", start, end, b"pass")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield Mistake("dropped line", start, end, b"pass")


def _code(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Expressions and statements that run."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                if isinstance(child, (ast.expr, ast.stmt)):
                    yield child
                yield from _code(child)


def _operator(start: int, end: int, source: bytes) -> Iterator[Mistake]:
    found = re.search(rb"is not|not in|<<|>>|\*\*|[<>=!]=|//|[<>+*-]|\b(?:is|in|and|or)\b", source[start:end])
    instead = OPERATORS.get(found[0].decode()) if found else None
    if found and instead:
        yield Mistake("operator", start + found.start(), start + found.end(), instead.encode())


def _swapped(node: ast.AST, place: Callable[[ast.expr], tuple[int, int]], source: bytes) -> Iterator[Mistake]:
    """Neighbours in a call or a tuple that have changed places."""
    rows: list[Sequence[ast.expr]] = []
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "min" | "max")):
            return
        case ast.Call(args=args, keywords=keywords):
            rows = [args, [keyword.value for keyword in keywords]]
        case ast.Tuple(elts=elements, ctx=ast.Load()):
            rows = [elements]
    for row in rows:
        for left, right in pairwise(row):
            (a, b), (c, d) = place(left), place(right)
            if source[a:b] != source[c:d]:
                yield Mistake("swapped arguments", a, d, source[c:d] + source[b:c] + source[a:b])
