"""Operations on stores as a worker makes their attempts: input and output against the schemas, an event loop for all of
a test's attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema_rs
import pytest

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.errors import OperationError
from streamflow.operations.contract import Health, Operation
from streamflow.operations.registry import Registry
from streamflow.settings import Connection, Settings, Tasks
from tests.contract.servers import attempt


class Worker:
    """What a task worker does with operations, without Kafka around it."""

    def __init__(self, settings: Settings) -> None:
        self._registry = Registry(settings)
        self._connections = settings.tasks.connections
        self._loop = asyncio.new_event_loop()

    def do(self, operation: str, /, idempotency: str = "run/step", timeout_s: float = 20.0, **input: Any) -> Any:
        """The output of one attempt. Raises OperationError, and fails when one is not declared."""
        return self._loop.run_until_complete(self.attempt(operation, idempotency, timeout_s, **input))

    def fail(
        self, operation: str, /, idempotency: str = "run/step", timeout_s: float = 20.0, **input: Any
    ) -> OperationError:
        """The error of one attempt."""
        with pytest.raises(OperationError) as caught:
            self.do(operation, idempotency, timeout_s, **input)
        return caught.value

    async def attempt(
        self, operation: str, /, idempotency: str = "run/step", timeout_s: float = 20.0, **input: Any
    ) -> Any:
        """As `do`, in the loop of `together`."""
        found = self.find(operation)
        jsonschema_rs.validator_for(found.spec.input).validate(input)
        made = attempt(idempotency_key=idempotency, timeout_s=timeout_s, connection=self._connection)
        try:
            output = await found.run(input, made)
        except OperationError as error:
            assert any(declared(one, error) for one in found.spec.errors), (
                f"{error.code} (retryable: {error.retryable}) is not declared by {operation}"
            )
            raise
        jsonschema_rs.validator_for(found.spec.output).validate(output)
        return output

    def together(self, *attempts: Any) -> list[Any]:
        """The outputs, or errors, of attempts that are made at the same time."""

        async def gathered() -> list[Any]:
            return await asyncio.gather(*attempts, return_exceptions=True)

        return self._loop.run_until_complete(gathered())

    def health(self, operation: str) -> Health:
        return self._loop.run_until_complete(self.find(operation).health())

    def find(self, operation: str) -> Operation:
        found = self._registry.find(operation)
        assert found is not None
        return found

    def close(self) -> None:
        self._loop.run_until_complete(self._registry.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _connection(self, name: str) -> Connection:
        if name not in self._connections:
            raise OperationError("connection_unknown", f"no connection {name}", retryable=False)
        return self._connections[name]


def declared(one: DeclaredError, error: OperationError) -> bool:
    return one.id == error.code and one.retryable == error.retryable


@contextmanager
def worker(settings: Settings | None = None, **connections: Connection) -> Iterator[Worker]:
    """A worker with these connections."""
    base = settings or Settings()
    made = Worker(base.model_copy(update={"tasks": Tasks(connections=connections)}))
    try:
        yield made
    finally:
        made.close()
