"""Composition root: reads the settings, follows the registry, serves until it is stopped."""

import asyncio
import gc
import logging
import os
import sys
import threading

import uvloop

from lepton_core.errors import LeptonError
from lepton_core.identity import TokenAuthenticator
from lepton_core.ids import new_ulid
from lepton_core.observability import configure_logging
from lepton_core.settings import load_settings
from lepton_inference.fetching import PackageFetcher
from lepton_inference.registry import RegistryClient
from lepton_inference.replica import Replica
from lepton_inference.repository import Repository
from lepton_inference.settings import InferenceSettings
from lepton_inference.watchdog import Watchdog

log = logging.getLogger("lepton.inference")

# Not growing, as core's Backoff does: after an outage, new targets shall be served at once.
RECONNECT_SECONDS = 1.0
# Added to the time that both transports have to drain.
EXIT_SECONDS = 5.0


async def serve(settings: InferenceSettings) -> None:
    token = settings.service_token_file.read_text(encoding="utf-8").strip()
    registry = RegistryClient(settings.registry_address, token, f"replica-{new_ulid()}")
    authenticator = TokenAuthenticator(
        verify_key=registry.verify_key,
        key_cache_seconds=settings.key_cache_seconds,
        outage_grace_seconds=settings.key_outage_grace_seconds,
    )
    fetcher = PackageFetcher(registry)
    replica = Replica(settings, authenticator, fetcher, registry.report)
    stop = asyncio.Event()
    watchdog = Watchdog(settings.loop_stuck_seconds, settings.drain_seconds, replica.blame_for_stuck_loop)
    with watchdog.watching(stop):
        replica.resume()
        following = asyncio.create_task(follow(registry, replica.repository))
        try:
            async with replica.serving():
                # Objects built so far live as long as the process; garbage collection need not check them.
                gc.freeze()
                log.info("inference: HTTP %s, gRPC %s", settings.http_listen, settings.grpc_listen)
                await stop.wait()
                log.info("inference: draining")
                _leave_within(2 * settings.drain_seconds + EXIT_SECONDS)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            fetcher.close()
            await registry.close()


def _leave_within(seconds: float) -> None:
    """Ends the process even if a thread is in a model that never returns: Python would wait for the thread."""

    def leave() -> None:
        log.error("inference: a model still runs after %s s of draining; the process ends now", seconds)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


async def follow(registry: RegistryClient, repository: Repository) -> None:
    """Applies every state that the registry sends, for as long as the replica runs."""
    away = False
    while True:
        try:
            async for targets in registry.watch():
                if away:
                    log.info("the registry answers again")
                away = False
                repository.apply(targets)
        except LeptonError as error:
            if not away:
                log.warning("the registry does not answer; deployments stay as they are: %s", error.detail)
            away = True
        await asyncio.sleep(RECONNECT_SECONDS)


def main() -> int:
    try:
        settings = load_settings(InferenceSettings, "LEPTON_INFERENCE", os.environ)
        configure_logging("inference", settings.log_level)
        uvloop.run(serve(settings))
    except LeptonError as error:
        sys.stderr.write(f"inference: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
