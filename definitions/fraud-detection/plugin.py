#!/usr/bin/env python3
"""Two operations without Streamflow: `fraud.enrich` and `fraud.score`, as an HTTP server of the standard library.

A plugin can be written in any language. It is called with a POST of JSON that is signed with a secret both sides know;
it answers `{"output": ...}`, or `{"error": {"code": ..., "message": ..., "retryable": ...}}`. The same idempotency key
means: this was asked before, answer the same. Run it with

    FRAUD_PLUGIN_SECRET=... python definitions/fraud-detection/plugin.py --port 8500

What it knows of cards is made up: C-1 is an old customer, C-9 a new one, and C-404 is not known.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CARDS = {
    "C-1": {"home_country": "DE", "customer_days": 2190, "payments_today": 1},
    "C-2": {"home_country": "FR", "customer_days": 400, "payments_today": 2},
    "C-9": {"home_country": "DE", "customer_days": 1, "payments_today": 14},
}
RECENT_S = 300
BODY_BYTES = 100_000


class Refused(Exception):
    """What the caller is told instead of an output, and the HTTP status."""

    def __init__(self, status: int, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.answer = {"error": {"code": code, "message": message, "retryable": retryable}}


def enrich(given: dict[str, Any]) -> dict[str, Any]:
    """What is known of a card."""
    card = given.get("card")
    if not isinstance(card, str):
        raise Refused(400, "input_invalid", "expected the number of a card")
    if card not in CARDS:
        raise Refused(422, "card_unknown", f"expected a card that we know but {card} is not")
    return CARDS[card]


def score(given: dict[str, Any]) -> dict[str, Any]:
    """0 (harmless) to 100 (certainly fraud), and why."""
    amount, country, card = given.get("amount_cents"), given.get("country"), given.get("card")
    if not isinstance(amount, int) or not isinstance(country, str) or not isinstance(card, dict | None):
        raise Refused(400, "input_invalid", "expected an amount, a country and what is known of the card")
    found = [(30, "a large amount")] if amount >= 100_000 else []
    if card is None:
        found.append((45, "nothing is known of the card"))
    else:
        found += [(25, "far from home")] if card.get("home_country") != country else []
        found += [(20, "a new customer")] if card.get("customer_days", 0) < 30 else []
        found += [(25, "many payments today")] if card.get("payments_today", 0) > 10 else []
    return {"score": min(100, 5 + sum(points for points, _ in found)), "reasons": [reason for _, reason in found]}


OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"fraud.enrich": enrich, "fraud.score": score}


def check_signature(secret: str, header: str, body: bytes) -> None:
    """Raises Refused unless `body` was signed with `secret` a short time ago: `t=<seconds>,v1=<HMAC-SHA256 of
    t.body>`."""
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    moment, given = fields.get("t", ""), fields.get("v1", "")
    wanted = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    recent = moment.isdigit() and abs(time.time() - int(moment)) <= RECENT_S
    if not recent or not hmac.compare_digest(wanted.encode(), given.encode()):
        raise Refused(401, "signature_wrong", "expected a signature made with our secret, a short time ago")


class Plugin(BaseHTTPRequestHandler):
    """One request. Answers are kept by idempotency key, so that a call that is repeated is answered as it was
    before."""

    protocol_version = "HTTP/1.1"
    secret = ""
    answered: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - shared by all requests; a real plugin keeps it in its database

    def do_GET(self) -> None:
        """Health: 200 when it is well."""
        self._answer(200 if self.path == "/health" else 404, {"ok": self.path == "/health"})

    def do_POST(self) -> None:
        """A call."""
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdigit() and int(length) <= BODY_BYTES else b""
        try:
            check_signature(self.secret, self.headers.get("Streamflow-Signature", ""), body)
            self._answer(200, {"output": self._done(json.loads(body))})
        except Refused as refused:
            self._answer(refused.status, refused.answer)

    def do_DELETE(self) -> None:
        """A call that nobody waits for any more: ours are over at once, so there is nothing to stop."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(200, {})

    def _done(self, call: dict[str, Any]) -> dict[str, Any]:
        operation, key = OPERATIONS.get(call["operation"]), call["idempotency_key"]
        if operation is None or not isinstance(call["input"], dict):
            raise Refused(400, "input_invalid", "expected an operation that we have, and its input")
        if key not in self.answered:
            self.answered[key] = operation(call["input"])
        return self.answered[key]

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until it is stopped; tells where on stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8500, help="0: any free one")
    port = parser.parse_args().port
    Plugin.secret = os.environ.get("FRAUD_PLUGIN_SECRET", "")
    if not Plugin.secret:
        sys.exit("expected a secret in FRAUD_PLUGIN_SECRET but there is none. Set the one that task workers have.")
    server = ThreadingHTTPServer(("127.0.0.1", port), Plugin)
    sys.stdout.write(f"listening on http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
