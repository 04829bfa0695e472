"""Mermaid text as SVG, drawn in this process by `merman`: no browser, and nothing from elsewhere."""

from __future__ import annotations

import re
import threading
from functools import lru_cache

from streamflow.errors import OperationError

# labels as SVG text: with HTML in them a page's security policy would have to allow styles
_PLAIN = '%%{init:{"htmlLabels":false,"flowchart":{"htmlLabels":false}}}%%\n'
_ROOT = re.compile(r"<svg\b[^>]*>")
_BOX = re.compile(r'viewBox="[-0-9.]+ [-0-9.]+ ([0-9.]+) ([0-9.]+)"')
_SIZE = re.compile(r' (?:width|height)="[^"]*"')
_drawing = threading.Lock()

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""Of an answer that is such a picture: it runs nothing, also when it is opened by itself."""


@lru_cache(maxsize=64)
def svg(mermaid: str) -> str:
    """The picture of a flowchart that `definition.mermaid` has made, with its width and height in pixels. Not for use
    in an event loop. Raises OperationError (`diagram_failed`)."""
    import merman  # 20 MB of a library: only for those who draw

    # The library takes three times as long to read a label with a tag; it draws a line break in the same way.
    source = _PLAIN + mermaid.replace("<br/>", "\n")
    try:
        with _drawing:
            drawn: str = merman.Merman().render_svg(source, None)
    except merman.MermanError as error:
        raise OperationError(
            "diagram_failed",
            f"The diagram could not be drawn ({str(error)[:200]}). Use the Mermaid text (diagram.mmd) instead.",
            retryable=False,
        ) from error
    return _sized(drawn)


def _sized(drawn: str) -> str:
    """The picture with the size of its view box; `width="100%"` would show it as small as an icon."""
    root = _ROOT.search(drawn)
    box = _BOX.search(root.group()) if root is not None else None
    if root is None or box is None:
        return drawn
    plain = _SIZE.sub("", root.group())
    size = f' width="{round(float(box[1]))}" height="{round(float(box[2]))}">'
    return drawn[: root.start()] + plain[:-1] + size + drawn[root.end() :]
