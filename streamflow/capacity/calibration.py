"""The speed of a core of this machine, relative to the machine of the constants: the same work, decided in the
simulator.

It is the engine's own code that is timed (decoding, decisions, state, encoding), by processor time, so that other
processes hardly count. Disks, networks and brokers are not in it.
"""

from __future__ import annotations

import time

from streamflow.capacity.measured import Measured
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import COMMANDS

_DEFINITION = """
name: calibration
version: "1"
on: [{id: placed, event: placed}]
steps:
  - {id: total, set: [{name: cents, expr: trigger.quantity * trigger.price_cents}]}
  - {id: size, needs: [total], choose: [{id: large, if: steps.total.cents > 5000}, {id: small}]}
  - {id: paid, needs: [size.large], wait: {events: [{id: paid, event: paid}], within: 1h}}
"""
_CATALOG = """
events:
  - name: placed
    topics: [orders]
    key: {path: order}
    schema: {type: object, properties: {quantity: {type: integer}, price_cents: {type: integer}}}
  - {name: paid, topics: [payments], key: {path: order}, schema: {type: object}}
"""
_RUNS = 50  # of one round
_ROUNDS = 5  # the quickest counts: the others were disturbed


def calibrated_us(rounds: int = _ROUNDS) -> float:
    """CPU microseconds of this process for each command of the calibration workload: of the quickest round."""
    definition, catalog = parse_definition(_DEFINITION), parse_catalog(_CATALOG)
    return min(_round(definition, catalog) for _ in range(rounds + 1))  # the first warms up


def _round(definition: Definition, catalog: Catalog) -> float:
    simulation = Simulation()
    simulation.publish(definition, catalog)
    began = time.process_time()
    for number in range(_RUNS):
        order = {"order": f"o-{number}", "quantity": 3, "price_cents": 2000}
        simulation.send("placed", order)
        simulation.run_until_quiet()
        simulation.send("paid", {"order": order["order"]})
        simulation.run_until_quiet()
    return (time.process_time() - began) * 1e6 / len(simulation.log.topics[COMMANDS].records())


def speed_of(measured: Measured, here_us: float) -> float:
    """How much faster than the machine of `measured` one is that needs `here_us` for a command."""
    return measured.calibration_us / here_us
