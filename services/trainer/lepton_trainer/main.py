"""The trainer's composition root: reads the settings, builds the worker, runs it until SIGTERM."""

import logging
import os
import signal
import sys
from functools import partial

from lepton_core.errors import LeptonError
from lepton_core.metrics import Metrics
from lepton_core.observability import configure_logging
from lepton_core.settings import load_settings
from lepton_core.signals import act_on
from lepton_trainer.files.private_dir import WorkerFolder
from lepton_trainer.processes.subreaper import become_subreaper
from lepton_trainer.recipes.catalogue import load_catalogue
from lepton_trainer.reporting.registry import PoolRegistry
from lepton_trainer.settings import TrainerSettings
from lepton_trainer.worker.script_user import find_script_user, try_out
from lepton_trainer.worker.telemetry import samples
from lepton_trainer.worker.wakeups import WakeupListener
from lepton_trainer.worker.worker import Worker

_log = logging.getLogger("lepton_trainer")


def main() -> int:
    configure_logging("trainer")
    try:
        settings = load_settings(TrainerSettings, "LEPTON_TRAINER", os.environ)
        user = find_script_user(settings.run_as)
        folder = WorkerFolder(settings.home, passable=user is not None)
        if user is not None:
            try_out(user, folder.attempts, [settings.pool_token_file])
        become_subreaper()
        pool_token = settings.pool_token_file.read_text().strip()
        registry = PoolRegistry(settings.registry_address, pool_token)
        worker = Worker(settings, folder, registry, load_catalogue(), user)
    except (LeptonError, OSError) as error:
        _log.error("the trainer cannot start: %s", error)
        return 2
    act_on((signal.SIGTERM, signal.SIGINT), worker.stop)
    broker_url = settings.broker_url.get_secret_value()
    listener = WakeupListener(broker_url, worker.wake.set) if broker_url else None
    if listener is not None:
        listener.start()
    metrics = Metrics()
    metrics.add(partial(samples, worker))
    try:
        with metrics.serving(settings.metrics_listen):
            worker.run()
    except LeptonError as error:
        _log.error("the trainer must stop: %s", error)
        return 1
    finally:
        if listener is not None:
            listener.stop()
    return 0


if __name__ == "__main__":
    # All work is done, but the queue's threads may hang if the broker does not answer.
    code = main()
    sys.stderr.flush()
    os._exit(code)
