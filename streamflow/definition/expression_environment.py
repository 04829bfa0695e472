"""The environment in which expressions are checked: CEL with its extensions, and what expressions have beyond it.

Beyond CEL there are `sum`, `min`, `max` and `avg` of lists, and exact decimals. A decimal is a message type without
fields, `streamflow.Decimal`, and its operators are overloads that a `CelExtension` adds to those of CEL. So the checker
knows `decimal(x) + decimal(y)` and refuses `decimal(x) + 1.5`. (An abstract type would not do: the checker takes a
value of one for anything. And overloads given to `NewEnv` as `functions` are refused, because the operators exist.)

Nothing here is ever evaluated by the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings
from google.protobuf import descriptor_pb2, descriptor_pool

from streamflow.definition.expression_faults import VARIABLES

DECIMAL = "streamflow.Decimal"
CONFIG = """
name: streamflow
extensions:
  - name: lists
  - name: two-var-comprehensions
"""
_DECIMAL, _LIST = cel.Type(DECIMAL), cel.Type.List
_INT, _UINT, _DOUBLE, _TEXT, _BOOL = cel.Type.INT, cel.Type.UINT, cel.Type.DOUBLE, cel.Type.STRING, cel.Type.BOOL
_LENGTH, _TIME = cel.Type.DURATION, cel.Type.TIMESTAMP


def extensions() -> list[Any]:
    """The extensions of CEL that expressions may use, beside those of the configuration; all are deterministic."""
    return [
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_encoders.ExtEncoders(),
        ext_bindings.ExtBindings(),
    ]


def pool() -> descriptor_pool.DescriptorPool:
    """A new pool that knows the decimal."""
    found = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="streamflow/decimal.proto", package="streamflow", syntax="proto3")
    file.message_type.add(name="Decimal")
    found.Add(file)
    return found


def environment(
    types: descriptor_pool.DescriptorPool, variables: Mapping[str, cel.Type], container: str = ""
) -> cel.Env:
    """The environment with `variables`, whose message types are in `types` (a pool that `pool` made). Names are looked
    for in `container`, too."""
    config = cel.NewEnvConfigFromYaml(CONFIG)
    given = [*extensions(), *own_extensions()]
    return cel.NewEnv(types, config=config, variables=variables, extensions=given, container=container)


@lru_cache(maxsize=1)
def untyped() -> cel.Env:
    """The environment in which all variables but `now` and `index` may be anything."""
    anything = cel.Type.Map(_TEXT, cel.Type.DYN)
    variables = dict.fromkeys(VARIABLES, anything) | {"now": _TIME, "item": cel.Type.DYN, "index": _INT}
    return environment(pool(), variables)


def own_extensions() -> list[cel.CelExtension]:
    """What expressions have beyond CEL."""
    return [cel.CelExtension("streamflow.decimal", _decimal()), cel.CelExtension("streamflow.lists", _lists())]


def _decimal() -> list[cel.FunctionDecl]:
    operators = {"_+_": "add", "_-_": "subtract", "_*_": "multiply", "_/_": "divide"}
    orders = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}
    pairs = [(_DECIMAL, _DECIMAL), (_DECIMAL, _INT), (_INT, _DECIMAL)]
    found = [
        _function(sign, *((name, result, list(pair)) for pair in pairs))
        for names, result in ((operators, _DECIMAL), (orders, _BOOL))
        for sign, name in names.items()
    ]
    sources = [_TEXT, _INT, _UINT, _DOUBLE, _DECIMAL]
    return [
        *found,
        _function("-_", ("negate", _DECIMAL, [_DECIMAL])),
        _function("decimal", *(("decimal", _DECIMAL, [source]) for source in sources)),
        _function("string", ("string", _TEXT, [_DECIMAL])),
        _function("int", ("int", _INT, [_DECIMAL])),
        _function("double", ("double", _DOUBLE, [_DECIMAL])),
        _function("round", *(("round", _DECIMAL, [_DECIMAL, _INT, *mode]) for mode in ([], [_TEXT])), member=True),
        _function(
            "divide",
            *(
                ("divide", _DECIMAL, [_DECIMAL, divisor, _INT, *mode])
                for divisor in (_DECIMAL, _INT)
                for mode in ([], [_TEXT])
            ),
            member=True,
        ),
    ]


def _lists() -> list[cel.FunctionDecl]:
    numbers = [_INT, _UINT, _DOUBLE, _DECIMAL]
    ordered = [*numbers, _TEXT, _BOOL, _TIME, _LENGTH, cel.Type.BYTES]
    averages = [(_INT, _DOUBLE), (_UINT, _DOUBLE), (_DOUBLE, _DOUBLE), (_DECIMAL, _DECIMAL)]
    return [
        _function("sum", *(("sum", kind, [_LIST(kind)]) for kind in [*numbers, _LENGTH]), member=True),
        _function("avg", *(("avg", result, [_LIST(kind)]) for kind, result in averages), member=True),
        *(_function(name, *((name, kind, [_LIST(kind)]) for kind in ordered), member=True) for name in ("min", "max")),
        _function("sort", ("sort", _LIST(_DECIMAL), [_LIST(_DECIMAL)]), member=True),
        _function(  # what `sortBy` becomes
            "@sortByAssociatedKeys",
            ("sort_by", _LIST(cel.Type.DYN), [_LIST(cel.Type.DYN), _LIST(_DECIMAL)]),
            member=True,
        ),
    ]


def _function(name: str, *overloads: tuple[str, cel.Type, list[cel.Type]], member: bool = False) -> cel.FunctionDecl:
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(
                "_".join([f"streamflow_{word}", *(kind.name() for kind in parameters)]),
                returned,
                parameters,
                member,
                impl=_never_evaluated,
            )
            for word, returned, parameters in overloads
        ],
    )


def _never_evaluated(*_: Any) -> NoReturn:
    raise NotImplementedError("expressions are evaluated by streamflow.definition.evaluator")
