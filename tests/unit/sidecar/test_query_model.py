"""Query parameters as one model are read as FastAPI reads them one by one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, Field

from streamflow.sidecar.problems import add_to
from streamflow.sidecar.query_model import parameters_of, query_as


class Wanted(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str = Field(max_length=5, description="whose")
    state: Literal["open", "closed"] | None = None
    limit: int = Field(default=50, ge=1, le=200)
    count: bool = False


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    add_to(app)

    @app.get("/one", openapi_extra=parameters_of(Wanted))
    async def one(asked: Annotated[Wanted, Depends(query_as(Wanted))]) -> dict[str, Any]:
        return asked.model_dump()

    @app.get("/each")
    async def each(asked: Annotated[Wanted, Query()]) -> dict[str, Any]:
        return asked.model_dump()

    return TestClient(app)


@pytest.mark.parametrize(
    "query",
    [
        "name=a",
        "name=a&name=b",
        "name=a&state=open&limit=7&count=1",
        "name=a&attr.city=Rome",
        "",
        "name=",
        "name=abcdef",
        "name=a&limit=0",
        "name=a&limit=x&count=maybe&state=lost",
        "name=%00%ff",
    ],
)
def test_both_give_the_same(client: TestClient, query: str) -> None:
    one, each = client.get(f"/one?{query}"), client.get(f"/each?{query}")
    assert one.status_code == each.status_code
    assert one.json() == each.json()


def test_both_are_described_the_same(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    paths = app.openapi()["paths"]
    assert paths["/one"]["get"]["parameters"] == paths["/each"]["get"]["parameters"]
