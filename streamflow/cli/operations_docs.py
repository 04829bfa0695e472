"""The reference of operations that come with Streamflow, made from their contracts: docs/operations-reference.md is
this text, and a test compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.definition.catalog import OperationSpec
from streamflow.operations.registry import known_operations

_HEAD = """# Operations that come with Streamflow

Generated from their contracts by `streamflow operations docs`. Do not edit.

A task worker executes the operation of a `call` step ([the language](definitions.md)); `streamflow operations list` also shows those of installed packages
and [plugins](plugins.md). A call may have several attempts, after a crash or by the step's `retry`, all with the same *idempotency key* (the run, the step
and the item). Each operation says below what that means for it. In `with`, values are CEL expressions; the input and output of an operation are checked
against its schema. Errors of the task workers themselves, such as `attempt_timeout`, may end any attempt.

## Connections

Operations on stores name a *connection*, so that no definition holds an address or a secret. Connections are [settings](settings.md); secrets are references. Clients that
are not included need an extra; [README.md](../README.md#status-and-requirements) shows how to install one:

```yaml
tasks:
  connections:
    warehouse: {kind: postgres, url: "postgresql://db.example:5432/warehouse", user: streamflow, password: env:WAREHOUSE_PASSWORD}
    reports: {kind: s3, url: "https://s3.example", user: access-key, password: "file:/run/secrets/s3", options: {bucket: reports}}
    archive: {kind: folder, url: /srv/archive}
    events: {kind: nats, url: "nats://nats.example:4222", user: streamflow, password: env:NATS_PASSWORD}
```
"""  # noqa: E501

_EXTRA = "the extra `{}`"
# kind, url, user and password, options, client
_CONNECTIONS = (
    (
        "postgres",
        "`postgresql://host:port/database`, with libpq's parameters such as `?sslmode=verify-full`",
        "user and password of the database",
        "`pool`: maximum connections of one worker (4)",
        _EXTRA.format("postgres"),
    ),
    (
        "s3",
        "the server, `http://` or `https://`",
        "access key and secret key; without them requests are not signed",
        "`bucket`: the default bucket; `region` (`us-east-1`); `virtual_hosted`: `true` for `bucket.host` "
        "addresses; `max_bytes` of one object (10000000)",
        _EXTRA.format("objects"),
    ),
    (
        "folder",
        "a path on the worker's machine, or `file:///path`",
        "none",
        "`bucket`, `max_bytes` as for `s3`; `create`: `true` creates a missing folder. Links below it are "
        "refused; its file system must be case-sensitive",
        "included",
    ),
    (
        "nats",
        "`nats://host:port` or `tls://host:port`",
        "a user, or without `user` a token",
        "of streams that are created: `window_s` (3600), `max_age_s` (604800)",
        _EXTRA.format("nats"),
    ),
    ("http", "the prefix of every request's URL", "none (see `headers`)", "none", "included"),
)

# One for each, as a step of a run that an event began; a test checks them.
EXAMPLES: Mapping[str, str] = {
    "debug.echo": """
- id: rehearse
  call:
    operation: debug.echo
    with: [{name: value, expr: trigger.amount}, {name: fail, expr: "'echo_unavailable'"}, {name: fail_attempts, expr: "2"}]
    retry: {attempts: 3, backoff: 1s}
""",  # noqa: E501
    "http.callback": """
- id: review
  call:
    operation: http.callback
    with:
      - {name: url, expr: "'https://review.example/cases'"}
      - {name: json, expr: "{'order': trigger.id}"}
      - {name: within, expr: "'2d'"}
""",
    "http.request": """
- id: rate
  call:
    operation: http.request
    with:
      - {name: url, expr: "'https://rates.example/eur'"}
      - {name: query, expr: "{'amount': trigger.amount}"}
    retry: {attempts: 8, backoff: 2s}
    timeout: 10s
""",
    "kafka.emit": """
- id: tell
  call:
    operation: kafka.emit
    with:
      - {name: topic, expr: "'accounting.payments'"}
      - {name: json, expr: "{'order': trigger.id, 'amount': trigger.amount}"}
      - {name: type, expr: "'com.example.payment'"}
""",
    "nats.publish": """
- id: notify
  call:
    operation: nats.publish
    with:
      - {name: connection, expr: "'events'"}
      - {name: subject, expr: "'reports.daily'"}
      - {name: json, expr: "{'order': trigger.id}"}
""",
    "notify.send": """
- id: alarm
  call:
    operation: notify.send
    with:
      - {name: target, expr: "'on-call'"}
      - {name: title, expr: "'A large order'"}
      - {name: text, expr: "'Order ' + trigger.id + ' is larger than usual.'"}
      - {name: severity, expr: "'warning'"}
""",
    "object.get": """
- id: template
  call:
    operation: object.get
    with: [{name: connection, expr: "'archive'"}, {name: key, expr: "'templates/invoice.txt'"}]
""",
    "object.put": """
- id: store
  call:
    operation: object.put
    with:
      - {name: connection, expr: "'reports'"}
      - {name: key, expr: "'orders/' + trigger.id + '.json'"}
      - {name: json, expr: "{'order': trigger.id, 'amount': trigger.amount}"}
""",
    "postgres.query": """
- id: totals
  call:
    operation: postgres.query
    with:
      - {name: connection, expr: "'warehouse'"}
      - {name: sql, expr: "'SELECT region, count(*) AS orders, sum(amount) AS total FROM sales WHERE amount >= $1 GROUP BY region'"}
      - {name: parameters, expr: "[trigger.amount]"}
    timeout: 20s
""",  # noqa: E501
    "postgres.upsert": """
- id: log
  call:
    operation: postgres.upsert
    with:
      - {name: connection, expr: "'warehouse'"}
      - {name: table, expr: "'orders'"}
      - {name: row, expr: "{'id': trigger.id, 'amount': trigger.amount}"}
      - {name: conflict, expr: "['id']"}
""",
    "print.line": """
- id: say
  call: {operation: print.line, with: [{name: text, expr: "'order ' + trigger.id"}]}
""",
}


def markdown() -> str:
    """The whole reference of the built-in operations."""
    rows = "".join(f"| `{kind}` | {' | '.join(rest)} |\n" for kind, *rest in _CONNECTIONS)
    connections = "\n| kind | `url` | `user`, `password` | `options` | client |\n|---|---|---|---|---|\n" + rows
    return _HEAD + connections + "".join(_chapter(spec) for spec in known_operations() if spec.name in EXAMPLES)


def _chapter(spec: OperationSpec) -> str:
    text = f"\n## {spec.name}\n\n**{spec.title}.** {spec.description}\n"
    text += (
        f"\nUnless the step says otherwise: lane `{spec.lane}`, {spec.retry.attempts} attempts of at most "
        f"{spec.timeout}, in the queue at most {spec.queue}.\n"
    )
    text += f"\n```yaml\n{EXAMPLES[spec.name].strip()}\n```\n"
    text += "\n| input | type | |\n|---|---|---|\n" + _fields(spec.input)
    output = _fields(spec.output)
    text += f"\n| output | type | |\n|---|---|---|\n{output}" if output else "\nThe output has no schema.\n"
    if spec.errors:
        text += "\n| error | retried | when |\n|---|---|---|\n"
        text += "".join(
            f"| `{error.id}` | {'yes' if error.retryable else 'no'} | {_cell(error.title or '')} |\n"
            for error in spec.errors
        )
    return text


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        rows.append(
            f"| `{name}`{' (required)' if name in required else ''} | {_type(field)} | "
            f"{_cell(field.get('description', ''))} |\n"
        )
    return "".join(rows)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        items = _type(schema["items"]) if "items" in schema else "anything"
        return f"list of {items}"
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    return str(kind or "anything")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
