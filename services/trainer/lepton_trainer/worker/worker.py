"""The worker's loop: claims a run, waits for its supervisor, and claims again. One attempt at a time.

For several attempts at a time on one machine, start several workers, each with its own folder. So if a supervisor dies,
the worker can register again, which ends exactly the lost attempt.
"""

import json
import logging
import random
import threading
from collections import Counter
from collections.abc import Mapping
from typing import BinaryIO

from lepton_core.backoff import Retrying
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import new_ulid
from lepton_trainer.assignment import Assignment, AttemptConfig, ScriptUser
from lepton_trainer.files.cache import InputCache
from lepton_trainer.files.private_dir import WorkerFolder, remove_folder
from lepton_trainer.placement.discovery import find_placement
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.process_tree import kill_descendants, kill_marked, reap_orphans
from lepton_trainer.processes.user_processes import kill_user, processes_of
from lepton_trainer.recipes.catalogue import RecipeEntry
from lepton_trainer.reporting.registry import PoolRegistry
from lepton_trainer.retrying import BACKOFF
from lepton_trainer.settings import TrainerSettings
from lepton_trainer.worker.announce import announcement
from lepton_trainer.worker.script_user import require_unused, reserve
from lepton_trainer.worker.supervisor_handle import SupervisorProcess

_log = logging.getLogger(__name__)
# Between two log entries about processes that do not end.
END_SCRIPTS_SECONDS = 10.0


class Worker:
    """Set `wake` to make it ask for work at once, `drain` to stop it."""

    def __init__(
        self,
        settings: TrainerSettings,
        folder: WorkerFolder,
        registry: PoolRegistry,
        recipes: Mapping[tuple[str, str], RecipeEntry],
        script_user: ScriptUser | None = None,
    ) -> None:
        self.wake = threading.Event()
        self.drain = threading.Event()
        self._settings = settings
        self._folder = folder
        self._registry = registry
        self._recipes = recipes
        self._script_user = script_user
        self._placement_entry = find_placement(settings.placement)
        self._reserved: BinaryIO | None = None
        self._incarnation = 0
        self._claim_id = new_ulid()
        # For the metrics: the current attempt, and the results of earlier ones.
        self.attempt_id = ""
        self.ended: Counter[str] = Counter()

    def run(self) -> None:
        """Runs until it is drained."""
        # Ends processes that an earlier start of this worker left: the next attempt must not share the machine with
        # them.
        kill_marked(self._folder.worker_id)
        if self._script_user is not None:
            self._reserved = reserve(self._script_user)
            if self._folder.script_user != self._script_user.uid:
                require_unused(self._script_user)
                self._folder.note_script_user(self._script_user.uid)
        self._end_scripts()
        self._folder.clear()
        if self.drain.is_set() or not self._register():
            return
        if self._settings.ready_file is not None:
            self._settings.ready_file.write_text(f"{self._folder.worker_id}\n")
        while not self.drain.is_set():
            self.wake.clear()
            claimed_at = boottime()
            assignment = self._claim()
            if assignment is not None:
                self._supervise(assignment, claimed_at)
            else:
                # Jitter, so that many workers do not ask at the same time.
                self.wake.wait(self._settings.poll_seconds * random.uniform(0.8, 1.2))  # noqa: S311 - not used for a secret

    def stop(self) -> None:
        self.drain.set()
        self.wake.set()

    def _register(self) -> bool:
        """Registers a new incarnation, which ends attempts of earlier ones. Returns False if drained meanwhile."""
        self._incarnation = self._folder.next_incarnation()
        announced = announcement(self._settings, self._folder.worker_id, self._incarnation, self._recipes)
        retrying = Retrying(BACKOFF)
        while not self.drain.is_set():
            try:
                self._registry.register(announced)
            except LeptonError as error:
                passing = error.retryable or error.code is ErrorCode.INTERNAL
                pause = retrying.pause_after(error, retryable=passing)
                _log.warning("cannot register yet: %s", error.detail)
                self.drain.wait(pause)
            else:
                names = ", ".join(f"{recipe.name}@{recipe.version}" for recipe in announced.recipes)
                _log.info(
                    "worker %s: %s; %d ranks, %d GPUs", announced.worker_id, names, announced.max_ranks, announced.gpus
                )
                return True
        return False

    def _end_scripts(self) -> None:
        """Waits until no process runs as the scripts' user, or the worker is drained: such a process could read the
        files of the next attempt."""
        if self._script_user is None:
            return
        while not kill_user(self._script_user.uid, END_SCRIPTS_SECONDS) and not self.drain.is_set():
            left = ", ".join(map(str, processes_of(self._script_user.uid)[:5]))
            _log.error("processes of %s cannot be ended, so no work is taken: %s", self._script_user.name, left)

    def _claim(self) -> Assignment | None:
        try:
            assignment = self._registry.claim(self._folder.worker_id, self._incarnation, self._claim_id)
        except LeptonError as error:
            # The next call has the same claim_id: if only the answer was lost, it returns the same attempt.
            _log.warning("cannot ask for work: %s", error.detail)
            if error.code in (ErrorCode.FAILED_PRECONDITION, ErrorCode.NOT_FOUND):
                self._register()
            return None
        self._claim_id = new_ulid()
        return assignment

    def _supervise(self, assignment: Assignment, claimed_at: float) -> None:
        spec = json.loads(assignment.spec)
        recipe = self._recipes.get((assignment.recipe, assignment.recipe_version))
        config = AttemptConfig(
            assignment=assignment,
            policy=self._settings.policy(),
            worker_id=self._folder.worker_id,
            registry_address=self._settings.registry_address,
            workspace=self._folder.new_workspace(assignment.attempt_id),
            cache=self._folder.cache,
            recipe_entry=recipe.entry if recipe else "",
            placement_entry=self._placement_entry,
            ranks=int(spec.get("resources", {}).get("ranks", 1)),
            claimed_at=claimed_at,
            user=self._script_user if spec.get("script") else None,
        )
        self.attempt_id = assignment.attempt_id
        result = SupervisorProcess(config).wait(self.drain, self._settings.drain_seconds)
        # On Linux, processes that outlive supervisor and guards become our children, with or without the marker. We
        # have no other children between attempts.
        kill_descendants()
        reap_orphans(())
        self._end_scripts()
        self.attempt_id = ""
        self.ended[result or "lost"] += 1
        _log.info("attempt %s of run %s: %s", assignment.attempt_id, assignment.run_id, result or "lost")
        if result is None:
            # The attempt has no supervisor any more. With a new incarnation the registry ends it now, without waiting
            # until the lease expires.
            self._register()
        remove_folder(config.workspace)
        InputCache(self._folder.cache).shrink(self._settings.cache_bytes)
