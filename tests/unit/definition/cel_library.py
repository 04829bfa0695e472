"""The CEL library's own evaluation, to compare ours with."""

from __future__ import annotations

from typing import Any

from cel_expr_python import cel

from streamflow.definition.expression_environment import CONFIG, extensions, pool
from streamflow.definition.expression_faults import VARIABLES


def library_environment() -> cel.Env:
    """The environment of expressions without what they have beyond CEL, which the library cannot evaluate."""
    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    variables: dict[str, Any] = dict.fromkeys(VARIABLES, anything)
    variables |= {"now": cel.Type.TIMESTAMP, "item": cel.Type.DYN, "index": cel.Type.INT}
    config = cel.NewEnvConfigFromYaml(CONFIG)
    return cel.NewEnv(pool(), config=config, variables=variables, extensions=extensions())
