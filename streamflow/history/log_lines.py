"""What `logs` says about runs. Pure."""

from __future__ import annotations

import msgspec

from streamflow.history.projection import Changes
from streamflow.history.rows import LogRow
from streamflow.wire.decoding import Record
from streamflow.wire.run_log import decode_line

_encoder = msgspec.json.Encoder(order="sorted")


def project_log(record: Record, changes: Changes) -> None:
    """Note a log line. Raises DecodeError (`bad_log_line`)."""
    line = decode_line(record.value or b"")
    changes.logs.append(
        LogRow(
            run=line.run,
            seq=record.offset,
            at_ms=line.at_ms,
            role=line.role,
            level=line.level,
            event=line.event,
            fields=_encoder.encode(line.fields).decode(),
        )
    )
