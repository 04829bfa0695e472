"""`/dead-letters`: what could not be read, placed or done, and what people do about it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.dead_letters import Letter, original_headers, select
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf, State, StateOf, audited

router = APIRouter(prefix=f"{API_PATH}/dead-letters", tags=["dead letters"], route_class=JsonRoute)

_LONGEST = 200
_AT_ONCE = 1000
_SETTLE = (*BODY_FAULTS, "letter_unknown", "selection_missing", "reason_missing", "letter_refused", "broker_refused")
Status = Literal["open", "replayed", "dropped", "all"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Replay(_Body):
    """Options of a replay."""

    reason: str = Field(default="", max_length=2000, description="kept with the dead letter")
    as_new: bool = Field(
        default=False,
        description="also an event that is not recognised as a duplicate (without an id, or too old): it counts again",
    )
    again: bool = Field(default=False, description="also a dead letter that was replayed or dropped before")


class Drop(_Body):
    """Why a dead letter is dropped."""

    reason: str = Field(max_length=2000, description="kept with the dead letter")


class Selection(_Body):
    """Which letters: by their numbers, or the open ones that all of the filters fit."""

    letters: list[int] = Field(default_factory=list, max_length=_AT_ONCE, description="their numbers")
    code: str | None = Field(default=None, description="why it is a dead letter, such as schema_mismatch")
    topic: str | None = Field(default=None, description="source or destination topic of the record")
    definition: str | None = Field(default=None, description="the definition of the record")
    since_ms: int | None = Field(default=None, description="the earliest time, in epoch milliseconds")
    limit: int = Field(default=_AT_ONCE, ge=1, le=_AT_ONCE, description="maximum number, oldest first")
    dry_run: bool = Field(default=False, description="only show what would be done")

    def chosen(self, letters: list[Letter]) -> list[Letter]:
        """The letters that are meant. Raises Rejected (`letter_unknown`, `selection_missing`)."""
        return select(
            letters,
            self.letters,
            reason=self.code,
            topic=self.topic,
            definition=self.definition,
            since_ms=self.since_ms,
            limit=self.limit,
        )


class ReplayMany(Replay, Selection):
    """Selects dead letters to replay."""


class DropMany(Drop, Selection):
    """Selects dead letters to drop."""


class _Letters:
    """The dead letters of definitions for which the principal has a right, and the account of what is done to them. A
    letter of no definition is for those who have the right for all."""

    def __init__(self, state: State, principal: Principal) -> None:
        self._state, self._principal = state, principal

    async def of(self, right: Right) -> list[Letter]:
        """Those, oldest first."""
        found = await self._state.log.dead_letters()
        if self._principal.may_everywhere(right):
            return found
        return [one for one in found if self._principal.may(right, one.facts.get("definition", ""))]

    async def known(self, right: Right, letter: str) -> Letter:
        """The letter of this number or id. Raises Rejected (`letter_unknown`)."""
        for one in await self.of(right):
            if letter in (str(one.number), one.id):
                return one
        raise Rejected("letter_unknown", f"There is no dead letter {letter}. See the list.")

    async def account(self, verb: str, letters: list[Letter], body: Replay | Drop) -> None:
        """Accounts for what is about to be done."""
        target = letters[0].id if len(letters) == 1 else f"{len(letters)} letters"
        after = {"letters": [one.number for one in letters], "reason": body.reason}
        who = actor(self._principal)
        await audited(self._state.identity, who, f"dead_letter.{verb}", target, after=after)


async def _letters(state: StateOf, principal: PrincipalOf) -> _Letters:
    return _Letters(state, principal)


Letters = Annotated[_Letters, Depends(_letters)]


@router.get("", responses=declared("request_invalid"), dependencies=[needs(Right.READ_DEAD_LETTERS)])
async def list_(
    letters: Letters,
    code: Annotated[str | None, Query(description="why it is a dead letter, such as schema_mismatch")] = None,
    topic: str | None = None,
    definition: str | None = None,
    status: Status = "open",
    cursor: Annotated[int | None, Query(description="`next` of the previous page")] = None,
    limit: Annotated[int, Query(ge=1, le=_LONGEST)] = 50,
) -> dict[str, Any]:
    """Dead letters, the newest first, without their records. `counts` are those of all that fit, by code; `statuses`
    those of all that fit but for their status."""
    found = [
        letter
        for letter in await letters.of(Right.READ_DEAD_LETTERS)
        if code in (None, letter.reason)
        and topic in (None, letter.topic)
        and definition in (None, letter.facts.get("definition"))
    ]
    fitting = [letter for letter in found if status in ("all", letter.state)]
    left = [letter for letter in reversed(fitting) if cursor is None or letter.number < cursor]
    page = left[:limit]
    return {
        "rows": [_row(letter) for letter in page],
        "next": page[-1].number if len(left) > limit else None,
        "counts": dict(Counter(letter.reason for letter in fitting).most_common()),
        "statuses": dict(Counter(letter.state for letter in found).most_common()),
    }


@router.post("/replay", responses=declared(*_SETTLE), dependencies=[needs(Right.SETTLE_DEAD_LETTERS)])
async def replay_many(body: ReplayMany, log: LogOf, letters: Letters) -> dict[str, Any]:
    """Sends the records of many dead letters again, at most 1,000, with the identity that they had. Each has its
    result: `replayed`, `refused` with why, or `not_sent` when the broker took no more."""
    chosen = body.chosen(await letters.of(Right.SETTLE_DEAD_LETTERS))
    if chosen and not body.dry_run:
        await letters.account("replay", chosen, body)
    return await log.replay(chosen, why=body.reason, as_new=body.as_new, again=body.again, dry_run=body.dry_run)


@router.post("/drop", responses=declared(*_SETTLE), dependencies=[needs(Right.SETTLE_DEAD_LETTERS)])
async def drop_many(body: DropMany, log: LogOf, letters: Letters) -> dict[str, Any]:
    """Marks many dead letters as given up, at most 1,000. Those that are settled already stay as they are."""
    _require_reason(body.reason)
    found = body.chosen(await letters.of(Right.SETTLE_DEAD_LETTERS))
    chosen = [letter for letter in found if letter.state == "open"]
    done: set[str] = set()
    if chosen and not body.dry_run:
        await letters.account("drop", chosen, body)
        done = await log.drop(chosen, why=body.reason)
    results = [{"letter": one.number, "status": "dropped" if one.id in done else one.state} for one in chosen]
    return {"letters": results, "dropped": len(done), "dry_run": body.dry_run}


@router.get(
    "/{letter:path}",
    responses=declared("request_invalid", "letter_unknown"),
    dependencies=[needs(Right.READ_DEAD_LETTERS)],
)
async def show(letter: str, log: LogOf, letters: Letters) -> dict[str, Any]:
    """A dead letter, by its number or id: why it is one, what was done with it, and the record as it came."""
    known = await letters.known(Right.READ_DEAD_LETTERS, letter)
    record = await log.dead_letter(known.number)
    if record is None:
        raise Rejected("letter_unknown", f"The dead letter {letter} is no longer kept. See the list.")
    return _row(known) | {
        "record": {"key": _text(record.key), "value": _text(record.value), "headers": original_headers(record)}
    }


@router.post("/{letter:path}/replay", responses=declared(*_SETTLE), dependencies=[needs(Right.SETTLE_DEAD_LETTERS)])
async def replay(letter: str, log: LogOf, letters: Letters, body: Replay | None = None) -> dict[str, Any]:
    """Sends the record of a dead letter again, with the identity that it had: an event to its source topic, a command
    or a task to where it was refused, an emitted event to its topic."""
    asked = body or Replay()
    known = await letters.known(Right.SETTLE_DEAD_LETTERS, letter)
    await letters.account("replay", [known], asked)
    found = await log.replay([known], why=asked.reason, as_new=asked.as_new, again=asked.again, dry_run=False)
    (result,) = found["letters"]
    if result["status"] == "refused":
        raise Rejected("letter_refused", result["message"], reason=result["code"], letter=known.number)
    row: dict[str, Any] = result
    return row


@router.post("/{letter:path}/drop", responses=declared(*_SETTLE), dependencies=[needs(Right.SETTLE_DEAD_LETTERS)])
async def drop(letter: str, body: Drop, log: LogOf, letters: Letters) -> dict[str, Any]:
    """Marks a dead letter as given up, with a reason. Its record is kept as long as before."""
    _require_reason(body.reason)
    known = await letters.known(Right.SETTLE_DEAD_LETTERS, letter)
    if known.state == "open":
        await letters.account("drop", [known], body)
        await log.drop([known], why=body.reason)
        return {"letter": known.number, "status": "dropped"}
    return {"letter": known.number, "status": known.state}


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise Rejected("reason_missing", "Dropping dead letters needs a reason. Give it as `reason`.")


def _row(letter: Letter) -> dict[str, Any]:
    return letter.described() | {"id": letter.id, "code": letter.reason, "place": letter.place}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
