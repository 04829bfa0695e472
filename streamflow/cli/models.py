"""`streamflow models`: the language models of the settings, their capabilities, and a question to one."""

from __future__ import annotations

import asyncio
import getpass
import sys
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_OUTSIDE, Session, session_of
from streamflow.errors import OperationError, Rejected
from streamflow.models.access import ModelAccess
from streamflow.models.capabilities import Capabilities, Form
from streamflow.models.conversation import Conversation, Material, UserMessage
from streamflow.models.meter import Account, Charge
from streamflow.models.prompts import prompt
from streamflow.models.protocol import Stop, StopReason, Text, Usage
from streamflow.settings import Settings
from streamflow.terminal import visible_lines

_NAMES = {
    "strict_tools": "tools held to their schema",
    "json_schema": "answers held to a schema",
    "tools": "tools",
    "streams": "streams",
    "reports_usage": "reports usage",
}
_INCOMPLETE = {
    StopReason.LENGTH: "the answer was cut at the limit of tokens or characters",
    StopReason.REFUSED: "the model or its provider refused",
}

app = typer.Typer(
    add_completion=False,
    help="Language models: probe their capabilities, and ask one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog=examples("models check", "models check local --again", "models check --json"))
def check(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="a model of models.available; default: all")] = None,
    again: Annotated[bool, typer.Option("--again", help="probe again, although results are known")] = False,
) -> None:
    """Shows the capabilities of the language models. Each is probed once with a few small requests; the results are
    kept in state_dir."""
    session = session_of(ctx)
    found = asyncio.run(_checked(session.given, name, again))
    session.show(found, "\n".join(line for one in found for line in _lines(one)))
    if any("error" in one for one in found):
        raise typer.Exit(EXIT_OUTSIDE)


@app.command(epilog=examples('models ask "What is a saga?"', 'models ask "What is wrong here?" --with definition.yaml'))
def ask(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="the question")],
    model: Annotated[str | None, typer.Option(help="a model of models.available; default: models.default")] = None,
    materials: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="FILE", help="file to attach as data; may be given several times"),
    ] = None,
) -> None:
    """Asks a language model and shows its answer as it is received, then tokens and cost. Ctrl-C cancels it at once."""
    session = session_of(ctx)
    conversation = Conversation(
        instructions=(prompt("ask").text, prompt("data").text, session.given.models.system or ""),
        messages=(UserMessage(question, tuple(_material(file) for file in materials or ())),),
    )
    asyncio.run(_asked(session, model, conversation))


async def _checked(settings: Settings, name: str | None, again: bool) -> list[dict[str, Any]]:
    found = []
    async with ModelAccess(settings) as models:
        for one in sorted(settings.models.available) if name is None else [models.name(name)]:
            configured = models.configured(one)
            facts: dict[str, Any] = {
                "name": one,
                "provider": configured.provider,
                "model": configured.model,
                "url": models.url(one),
            }
            known = models.file(one).read() is not None and not again
            try:
                capabilities = await models.capabilities(one, again=again)
            except OperationError as error:
                facts["error"] = {"code": error.code, "message": error.message}
            else:
                form = configured.form or capabilities.form.value
                facts |= {"capabilities": asdict(capabilities), "form": form, "probed_before": known}
                facts["form_set"] = configured.form is not None
            found.append(facts)
        if not found:
            models.name()  # says that there is none
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['name']}: {found['provider']}, {found['model']} at {found['url']}"]
    if "error" in found:
        return [*lines, f"  {found['error']['code']}: {found['error']['message']}"]
    capabilities = Capabilities(**found["capabilities"])
    for name, title in _NAMES.items():
        reason = capabilities.reasons.get(name, "")
        has = "yes" if getattr(capabilities, name) else f"no{f' ({reason})' if reason else ''}"
        lines.append(f"  {title}: {has}")
    lines.append(f"  first token: {capabilities.first_token_ms} ms")
    chosen = "set in models" if found["form_set"] else "the best found"
    lines.append(f"  receives tools as: {Form(found['form']).value} ({chosen})")
    lines.append("  probed earlier (--again probes again)" if found["probed_before"] else "  probed now")
    return lines


async def _asked(session: Session, wanted: str | None, conversation: Conversation) -> None:
    settings = session.given
    charges: list[Charge] = []
    async with ModelAccess(settings) as models:
        name = models.name(wanted)
        day = datetime.now(UTC).date().isoformat()
        account = Account(turn="1", conversation="models ask", person=getpass.getuser(), day=day)
        metered = models.metered(name, models.meter(), account, charges.append)
        texts: list[str] = []
        stop = StopReason.END
        try:
            async with aclosing(metered.stream(conversation, (), models.limits(name))) as events:
                async for event in events:
                    if isinstance(event, Text):
                        texts.append(event.text)
                        if not session.json:
                            sys.stdout.write(visible_lines(event.text))
                            sys.stdout.flush()
                    elif isinstance(event, Stop):
                        stop = event.reason
        finally:
            if not session.json:
                if texts and not texts[-1].endswith("\n"):
                    sys.stdout.write("\n")
                    sys.stdout.flush()
                for charge in charges:
                    output.note(f"{name}: {_usage_line(charge, settings.models.currency)}")
    if stop in _INCOMPLETE and not session.json:
        output.warn(_INCOMPLETE[stop])
    if session.json:
        usage, money = (charges[0].usage, charges[0].money) if charges else (Usage(input_tokens=0), None)
        facts = {"text": "".join(texts), "stop": stop.value, "model": name, "usage": asdict(usage)}
        cost = None if money is None else {"amount": str(money), "currency": settings.models.currency}
        session.show(facts | {"cost": cost}, "")


def _usage_line(charge: Charge, currency: str) -> str:
    usage = charge.usage
    cached = f" ({usage.cached_input_tokens} more from the cache)" if usage.cached_input_tokens else ""
    written = f", {usage.cache_write_tokens} written to the cache" if usage.cache_write_tokens else ""
    estimated = " (estimated)" if usage.estimated else ""
    cost = "price unknown" if charge.money is None else f"{_amount(charge.money)} {currency}"
    return f"{usage.input_tokens} tokens in{cached}{written}, {usage.output_tokens} out{estimated}, {cost}"


def _amount(money: Decimal) -> str:
    return f"{money:.6f}".rstrip("0").rstrip(".") or "0"


def _material(file: Path) -> Material:
    try:
        return Material("file", f"{file.name}\n{file.read_text(encoding='utf-8')}")
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("file_unreadable", f"The file {file} cannot be read: {error}. Check the path.") from error
