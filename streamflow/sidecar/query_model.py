"""Many query parameters as one model.

FastAPI validates the fields of a model of query parameters one by one, which takes longer than a list of runs does.
Here pydantic validates them at once; the description of the route gets the same parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def query_as(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency: the query parameters of a request as a `model`. The last of a repeated parameter counts. It raises
    RequestValidationError."""

    async def read(request: Request) -> Model:
        try:
            return model.model_validate(dict(request.query_params))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            raise RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in found]) from None

    return read


def parameters_of(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of `model` as query parameters (OpenAPI 3.1, section 4.8.12), for `openapi_extra` of the route."""
    schema = model.model_json_schema()
    required = schema.get("required", ())
    return {
        "parameters": [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            | ({"description": field["description"]} if "description" in field else {})
            for name, field in schema["properties"].items()
        ]
    }
