"""`python -m tests.scripted_model [--port 8901]`: the scripted server as a process, which answers as a model that can
do everything, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio

from tests.scripted_model.server import ScriptedModel, capable


async def _serve(port: int) -> None:
    async with ScriptedModel(capable, port=port) as server:
        print(f"a scripted language model at {server.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8901)
    asyncio.run(_serve(parser.parse_args().port))
