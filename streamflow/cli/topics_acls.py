"""`streamflow topics plan --acls`: the rights that each role needs, for people, for `kafka-acls` and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from streamflow.cli import output
from streamflow.cli.checking import checked_all, tell
from streamflow.cli.session import EXIT_AUTHOR, Session
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import emitted_names, received_events
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log
from streamflow.kafka.rights import Resource, Right, Role, UsersTopics, rights
from streamflow.ops.catalog import CatalogResolver
from streamflow.settings import Settings

PRINCIPAL = "User:streamflow-{role}"
_OPTIONS = {Resource.TOPIC: "--topic", Resource.GROUP: "--group", Resource.TRANSACTIONAL_ID: "--transactional-id"}


def show_acls(
    session: Session,
    *,
    roles: Sequence[Role],
    principal: str,
    definitions: Sequence[Path],
    sent_to: Sequence[str],
    commands: bool,
) -> None:
    """Answers with the rights of `roles` (all by default): on the topics of `definitions`, or of what is published.
    `sent_to` are topics that task workers send records to."""
    if not principal.startswith("User:") or len(principal) == len("User:"):
        raise Rejected(
            "principal_invalid",
            f"expected a principal such as {PRINCIPAL} but it is {principal}. Begin it with User:.",
        )
    settings = session.known
    users = _of_files(session, definitions) if definitions else _published(session)
    found = [right for role in roles or tuple(Role) for right in _with_sent(settings, role, users, sent_to)]
    rows = merged((principal.replace("{role}", right.role.value), right) for right in found)
    facts = [asdict(right) | {"principal": who, "host": "*", "permission": "ALLOW"} for who, right in rows]
    if commands:
        servers = settings.kafka.bootstrap_servers or "HOST:PORT"
        session.show({"acls": facts}, "\n".join(command(servers, who, right) for who, right in rows))
    elif session.json:
        session.show({"acls": facts}, "")
    else:
        output.screen().print(_table(rows), soft_wrap=True)


def merged(rows: Iterable[tuple[str, Right]]) -> list[tuple[str, Right]]:
    """The rights by principal, in order; where roles share one, what both need is there once."""
    found: dict[tuple[str, Resource, str, bool], tuple[str, Right]] = {}
    for who, right in rows:
        key = who, right.resource, right.name, right.prefixed
        if key in found:
            before = found[key][1]
            both = tuple(dict.fromkeys((*before.operations, *right.operations)))
            if {"READ", "WRITE"} & set(both):
                both = tuple(one for one in both if one != "DESCRIBE")  # they include it
            if "ALTER_CONFIGS" in both:
                both = tuple(one for one in both if one != "DESCRIBE_CONFIGS")
            why = before.why if right.why == before.why else f"{before.why}; {right.why}"
            right = Right(
                role=before.role,
                resource=right.resource,
                name=right.name,
                prefixed=right.prefixed,
                operations=both,
                why=why,
            )
        found[key] = who, right
    return list(found.values())


def command(servers: str, who: str, right: Right) -> str:
    """The command of Kafka's own tool that grants it."""
    words = ["kafka-acls", "--bootstrap-server", servers, "--command-config", "admin.properties", "--add"]
    words += ["--allow-principal", who, _OPTIONS[right.resource], right.name]
    words += ["--resource-pattern-type", "prefixed"] if right.prefixed else []
    for operation in right.operations:
        words += ["--operation", _tool_name(operation)]
    return shlex.join(words)


def _tool_name(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))


def _table(rows: Sequence[tuple[str, Right]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("PRINCIPAL", "RESOURCE", "NAME", "OPERATIONS", "FOR"):
        table.add_column(column, no_wrap=True)
    for who, right in rows:
        name = right.name + ("*" if right.prefixed else "")
        operations = ", ".join(_tool_name(one) for one in right.operations)
        table.add_row(who, right.resource.value, name, operations, right.why)
    return table


def _with_sent(settings: Settings, role: Role, users: UsersTopics, sent_to: Sequence[str]) -> list[Right]:
    found = rights(settings, role, users)
    if role is Role.TASKS:
        found += [
            Right(role=role, resource=Resource.TOPIC, name=name, operations=("WRITE",), why="kafka.emit")
            for name in sorted(set(sent_to))
        ]
    return found


def _of_files(session: Session, paths: Sequence[Path]) -> UsersTopics:
    """The topics that definitions in files name. Nobody is asked."""
    around = CatalogResolver(lambda: read_log(session.settings), whole=False)
    found = checked_all(session.known, list(paths), None, around)
    if not all(each.ok for each in found):
        tell(session, found)
        raise SystemExit(EXIT_AUTHOR)
    return _union(
        (each.definition, each.catalog) for each in found if each.definition is not None and each.catalog is not None
    )


def _published(session: Session) -> UsersTopics:
    """The topics of what is published. Without a broker nothing is."""
    if session.known.kafka.bootstrap_servers is None:
        output.warn("no broker is named, so the users' topics are not among these. Name definitions: --definition")
        return UsersTopics()
    log = read_log(session.settings)
    catalog = log.catalog()
    return _union((served.definition, catalog) for served in log.served())


def _union(definitions: Iterable[tuple[Definition, Catalog]]) -> UsersTopics:
    read: set[str] = set()
    written: set[str] = set()
    for definition, catalog in definitions:
        topics = {event.name: event.topics for event in catalog.events}
        read.update(topic for name in received_events(definition) for topic in topics.get(name, ()))
        written.update(topic for name in emitted_names(definition) for topic in topics.get(name, ()))
    return UsersTopics(frozenset(read), frozenset(written))
