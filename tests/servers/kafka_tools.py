"""Kafka's own command-line tools as far as our pages use them, for tests: they are not among the jars of a broker.

They do the same by Kafka's client. What they do not know they refuse, so a page cannot show options that nobody has
tried."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

_CALLS = "kafka-tools.calls"


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name, allow_abbrev=False)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--command-config", required=True)
    return parser


def _acls(client: AdminClient, words: list[str]) -> Mapping[Any, Future[Any]]:
    parser = _parser("kafka-acls")
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    for resource in ("topic", "group", "transactional-id"):
        kind.add_argument(f"--{resource}")
    parser.add_argument("--resource-pattern-type", choices=["literal", "prefixed"], default="literal")
    parser.add_argument("--operation", action="append", required=True)
    given = parser.parse_args(words)
    resource = next(name for name in ("topic", "group", "transactional_id") if getattr(given, name))
    return client.create_acls(
        [
            AclBinding(
                ResourceType[resource.upper()],
                getattr(given, resource),
                ResourcePatternType[given.resource_pattern_type.upper()],
                given.allow_principal,
                "*",
                AclOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()],
                AclPermissionType.ALLOW,
            )
            for operation in given.operation
        ]
    )


def _configs(client: AdminClient, words: list[str]) -> Mapping[Any, Future[Any]]:
    parser = _parser("kafka-configs")
    parser.add_argument("--alter", action="store_true", required=True)
    parser.add_argument("--entity-type", choices=["users"], required=True)
    parser.add_argument("--entity-name", required=True)
    parser.add_argument("--add-config", required=True)
    given = parser.parse_args(words)
    found = re.fullmatch(r"SCRAM-SHA-512=\[password=(.+)\]", given.add_config)
    if found is None:
        parser.error(f"unknown --add-config {given.add_config}")
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    user = UserScramCredentialUpsertion(given.entity_name, info, found[1].encode())
    return client.alter_user_scram_credentials([user])


def _topics(client: AdminClient, words: list[str]) -> Mapping[Any, Future[Any]]:
    parser = _parser("kafka-topics")
    parser.add_argument("--create", action="store_true", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    given = parser.parse_args(words)
    return client.create_topics([NewTopic(given.topic, given.partitions, 1)])


TOOLS: dict[str, Callable[[AdminClient, list[str]], Mapping[Any, Future[Any]]]] = {
    "kafka-acls": _acls,
    "kafka-configs": _configs,
    "kafka-topics": _topics,
}


def install(folder: Path) -> None:
    """Puts the tools into `folder`: commands that note how they were called, for `perform`. A page calls them dozens of
    times, and a process for each would take longer than everything else."""
    for name in TOOLS:
        shim = folder / name
        shim.write_text(
            f"#!/bin/sh\nfor word in {name} \"$@\"; do printf '%s\\037' \"$word\"; done >> '{folder / _CALLS}'\n"
            f"echo >> '{folder / _CALLS}'\n"
        )
        shim.chmod(0o755)


def perform(folder: Path, client: AdminClient) -> int:
    """Does what the tools were called for since the last time; how many calls there were."""
    calls = folder / _CALLS
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    for line in lines:
        name, *words = line.split("\037")[:-1]
        for done in TOOLS[name](client, words).values():
            done.result(20)
    return len(lines)
