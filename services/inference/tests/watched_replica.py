"""A replica with its watchdog, in a process of its own: `python watched_replica.py FOLDER STUCK_SECONDS DRAIN_SECONDS`.

Serves what the folder's last process served, else a model that is quick on zeros and endless on ones. Prints its port,
a key and the state of the deployment; ends by SIGTERM, or by its watchdog.
"""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from lepton_inference.watchdog import Watchdog
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import endless_on_ones


async def main() -> None:
    folder, stuck_seconds, drain_seconds = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    async with AsyncExitStack() as stack:
        # Warm-up on a busy machine must not take the model for a slow one.
        fleet = await Fleet(folder, stack).start(inline_milliseconds=20)
        stop = asyncio.Event()
        stack.enter_context(Watchdog(stuck_seconds, drain_seconds, fleet.replica.blame_for_stuck_loop).watching(stop))
        fleet.replica.resume()
        if fleet.replica.repository.status("prj_a", "double") is None:
            await fleet.deploy(endless_on_ones())
        await fleet.replica.repository.settled()
        state = "serving" if fleet.replica.repository.find("prj_a", "double") else "not serving"
        status = fleet.replica.repository.status("prj_a", "double")
        sys.stdout.write(f"{fleet.replica.http.port}\n{fleet.key}\n{state}: {status}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig()
    uvloop.run(main())
