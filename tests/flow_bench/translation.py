"""A workflow of Flow-Bench, a small subset of Python, as definitions.

A call becomes a `call`, a user task an `approval`, `if` a `choose`. A `for` over a list becomes a step with `each`: of
the call in it where that is all, else of child runs. What cannot be said raises `Lacking`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.catalog import Catalog, ChildSpec, OperationSpec
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.graph_check import RESERVED
from streamflow.definition.model import Definition

_COMPARISONS: dict[type, str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
}
_CONSTANTS = {"true": "true", "false": "false", "null": "null"}
_USER = "user_task"


class Lacking(Exception):
    """A construct that the language does not have; the text names it."""


@dataclass(slots=True)
class Expressed:
    """A workflow as definitions, each with its catalog; a child comes before what starts it."""

    definitions: list[tuple[Definition, Catalog]] = field(default_factory=list)


def express(name: str, source: str, known: frozenset[str]) -> Expressed:
    """The workflow `source` as definitions. `known` are the operations of its catalog. Raises Lacking."""
    found = Expressed()
    _Process(name, found, known, {}).run(ast.parse(source).body, inputs=[])
    return found


def operation_name(id_: str) -> str:
    """A legal name for an operation of Flow-Bench: `Jira_Issue__2_0_0__create_Issue` gives jira_issue.create_issue."""
    parts = [re.sub(r"[^a-z0-9_-]", "_", part.lower()) for part in id_.split("__")]
    named = [part if part[:1].isalpha() else f"op_{part}" for part in (parts[0], parts[-1])]
    return ".".join(part[:50] for part in named)


class _Process:
    def __init__(self, name: str, found: Expressed, known: frozenset[str], names: dict[str, str]) -> None:
        self.name, self.found, self.known = name, found, known
        self.names = dict(names)  # variable -> the expression that reads it
        self.steps: list[dict[str, Any]] = []
        self.operations: dict[str, OperationSpec] = {}
        self.children: dict[str, ChildSpec] = {}
        self._ids: set[str] = set()
        self._tasks: set[str] = set()  # variables of user tasks

    def run(self, body: Sequence[ast.stmt], inputs: Sequence[str]) -> ChildSpec:
        """Adds the definition of `body`, which is given `inputs`."""
        self._block(body, [])
        value = {
            "name": self.name,
            "version": "1",
            "input": {"type": "object", "required": list(inputs), "properties": {name: {} for name in inputs}},
            "steps": self.steps,
        }
        definition = Definition.model_validate(value)
        catalog = Catalog(operations=list(self.operations.values()), definitions=list(self.children.values()))
        self.found.definitions.append((definition, catalog))
        sha = sha256_of(canonical(definition, catalog))
        return ChildSpec(name=self.name, version="1", sha=sha, input=definition.input or {})

    def _block(self, body: Sequence[ast.stmt], needs: list[str]) -> list[str]:
        """The steps of `body` after `needs`; what comes after them needs what is returned."""
        for statement in body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                needs = self._assigned(statement, statement.value, needs)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                needs = self._call(statement.value, "", needs)
            elif isinstance(statement, ast.If):
                needs = self._if(statement, needs)
            elif isinstance(statement, ast.For):
                needs = self._for(statement, needs)
            elif isinstance(statement, ast.While):
                raise Lacking("a loop that ends by a condition (`while`)")
            else:
                raise Lacking(f"the statement {type(statement).__name__}")
        return needs

    def _assigned(self, statement: ast.Assign, call: ast.Call, needs: list[str]) -> list[str]:
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            raise Lacking("an assignment to a part of a value")
        return self._call(call, target.id, needs)

    def _call(self, call: ast.Call, variable: str, needs: list[str]) -> list[str]:
        function = ast.unparse(call.func)
        if call.keywords or (call.args and function != _USER):
            raise Lacking("arguments that the catalog does not describe")
        if function == _USER:
            text = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else "task"
            approval = {"text": _literal(str(text)), "who": ["anybody"], "forever": True}
            id_ = self._step(variable or "task", needs, {"approval": approval})
            self._tasks.add(variable)
        else:
            id_ = self._step(variable or "call", needs, {"call": {"operation": self._operation(function)}})
            self._tasks.discard(variable)
        self.names[variable] = f"steps.{id_}"
        return [id_]

    def _if(self, statement: ast.If, needs: list[str]) -> list[str]:
        tests: list[tuple[str, Sequence[ast.stmt]]] = []
        left: Sequence[ast.stmt] = [statement]
        while len(left) == 1 and isinstance(left[0], ast.If):
            tests.append((self._expression(left[0].test), left[0].body))
            left = left[0].orelse
        branches = [{"id": f"case_{number}", "if": test} for number, (test, _) in enumerate(tests, 1)]
        id_ = self._step("check", needs, {"choose": [*branches, {"id": "otherwise"}]})
        before = dict(self.names)
        exits: list[str] = []
        for number, (_, body) in enumerate(tests, 1):
            exits += self._block(body, [f"{id_}.case_{number}"])
            self.names = dict(before)
        exits += self._block(left, [f"{id_}.otherwise"]) if left else [f"{id_}.otherwise"]
        self.names = before
        return exits

    def _for(self, statement: ast.For, needs: list[str]) -> list[str]:
        if not isinstance(statement.target, ast.Name) or statement.orelse:
            raise Lacking("a loop with several variables or an `else`")
        items = self._expression(statement.iter)
        body = statement.body
        alone = body[0].value if len(body) == 1 and isinstance(body[0], ast.Assign) else None
        if isinstance(alone, ast.Call) and ast.unparse(alone.func) != _USER:
            operation = self._operation(ast.unparse(alone.func))
            return [self._step("each", needs, {"each": {"items": items}, "call": {"operation": operation}})]
        read = {node.id for node in ast.walk(ast.Module(list(body), [])) if isinstance(node, ast.Name)}
        outer = sorted(name for name in read & self.names.keys() if name != statement.target.id)
        inputs = [statement.target.id, *outer]
        name = f"{self.name}-{statement.target.id}".replace("_", "-").lower()
        child = _Process(name, self.found, self.known, {one: f"trigger.{one}" for one in inputs})
        child._tasks = {one for one in outer if one in self._tasks}
        spec = child.run(body, inputs)
        self.children[spec.name] = spec
        given = [{"name": statement.target.id, "expr": "item"}]
        given += [{"name": one, "expr": self.names[one]} for one in outer]
        run = {"definition": spec.name, "version": "1", "key": "run.key + '-' + string(index)", "with": given}
        return [self._step("each", needs, {"each": {"items": items}, "run": run})]

    def _step(self, text: str, needs: list[str], work: dict[str, Any]) -> str:
        plain = re.sub(r"[^a-z0-9_]", "_", text.lower()).strip("_") or "step"
        plain = f"{plain}_step" if plain in RESERVED else plain
        number, id_ = 2, plain
        while id_ in self._ids:
            id_, number = f"{plain}_{number}", number + 1
        self._ids.add(id_)
        step: dict[str, Any] = {"id": id_, **({"needs": needs} if needs else {})}
        self.steps.append(step | ({"join": "any"} if len(needs) > 1 else {}) | work)
        return id_

    def _operation(self, id_: str) -> str:
        if id_ not in self.known:
            raise Lacking(f"the operation {id_}, which its catalog does not have")
        name = operation_name(id_)
        self.operations[name] = OperationSpec(name=name)
        return name

    # -- expressions

    def _expression(self, node: ast.expr) -> str:
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
            if self._is_task(node.left) and isinstance(node.comparators[0], ast.Constant):
                return self._answered(node)
            sign = _COMPARISONS[type(node.ops[0])]
            return f"{self._expression(node.left)} {sign} {self._expression(node.comparators[0])}"
        if isinstance(node, ast.BoolOp):
            sign = " && " if isinstance(node.op, ast.And) else " || "
            return "(" + sign.join(self._expression(value) for value in node.values) + ")"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return f"!({self._expression(node.operand)})"
        if isinstance(node, ast.Attribute):
            return f"{self._expression(node.value)}.{node.attr}"
        if isinstance(node, ast.Name):
            if node.id in _CONSTANTS:
                return _CONSTANTS[node.id]
            if node.id not in self.names:
                raise Lacking(f"the variable {node.id}, which nothing gives a value")
            return self.names[node.id]
        if isinstance(node, ast.Constant):
            return "null" if node.value is None else _literal(node.value)
        raise Lacking(f"the expression {ast.unparse(node)}")

    def _is_task(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._tasks

    def _answered(self, node: ast.Compare) -> str:
        """Whether a user task came to something: it has no other result than the decision."""
        decision = f"{self._expression(node.left)}.decision == 'approved'"
        return f"!({decision})" if isinstance(node.ops[0], ast.Eq) else decision


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
    return str(value)
