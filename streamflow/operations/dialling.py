"""The hosts of connections to stores, judged before they are dialled: an operator named them, so private networks are
open, but a name must not lead to a cloud's metadata (see `address.Policy`)."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult

from streamflow.errors import OperationError
from streamflow.operations.connections import invalid
from streamflow.operations.egress import Resolve, system_addresses
from streamflow.operations.egress_policy import Policy, check_address


def check_dialled(name: str, host: str, port: int, address: str) -> None:
    """Judges an address that `host` of the connection called `name` has.

    Raises OperationError (`connection_invalid`)."""
    host = host.lower().rstrip(".").strip("[]")
    shown = f"[{host}]" if ":" in host else host
    try:
        check_address(ipaddress.ip_address(address), Policy.of([f"{shown}:{port}"]), host, port)
    except OperationError as error:
        text = (
            f"The connection {name} is not dialled: {host} leads to {address}, which may be a cloud's metadata or no "
            f"host at all. Correct tasks.connections.{name}, or name the address itself there."
        )
        raise OperationError("connection_invalid", text, retryable=False, connection=name) from error


async def dialled_addresses(
    name: str, url: SplitResult, default_port: int, resolve: Resolve = system_addresses
) -> list[str]:
    """The addresses of the host of `url`, all of them judged.

    Raises OperationError (`connection_invalid`), or OSError when the name is not known."""
    try:
        host, port = url.hostname, url.port or default_port
    except ValueError as error:
        raise invalid(name, "a url with a port from 0 to 65535", "it has another") from error
    if not host:
        raise invalid(name, "a url with a host", "there is none")
    found = await resolve(host, port)
    for address in found:
        check_dialled(name, host, port, address)
    return found
