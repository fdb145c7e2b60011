"""Codes of causes: why a run waits, and how an attempt ended. Light to import: supervisors and ranks use it."""

from enum import StrEnum


class WaitingCause(StrEnum):
    """Codes of a queued run's `waiting_reason`. All but QUEUED: no worker that is up could take it, however idle."""

    # Parameter place: 1 is next; at most MAX_PLACE.
    QUEUED = "queued"
    NO_WORKER = "no_worker"
    # Parameters recipe, version, and offered: the versions of the recipe that workers have.
    NO_WORKER_WITH_RECIPE = "no_worker_with_recipe"
    NO_WORKER_FOR_SCRIPTS = "no_worker_for_scripts"
    NO_WORKER_FOR_ISOLATED_SCRIPTS = "no_worker_for_isolated_scripts"
    # Parameters needed and most: ranks of the run, and of the largest worker that is up.
    NOT_ENOUGH_RANKS = "not_enough_ranks"
    WORKERS_DRAINING = "workers_draining"


class EndCause(StrEnum):
    """Codes of the `cause` of an attempt and of its run: how the attempt ended, if it did not succeed.

    Parameters that several have: `rank`, `log_tail` (the last lines that the program wrote, a list).
    """

    # The platform or a person ended it.
    CANCELLED = "cancelled"
    RELEASED = "released"
    WORKER_RESTARTED = "worker_restarted"
    LEASE_LOST = "lease_lost"
    REGISTRY_UNREACHABLE = "registry_unreachable"

    # Limits. Parameters: seconds; used_bytes and max_bytes; free_bytes and reserve_bytes; rank.
    TIMEOUT = "timeout"
    DISK_BUDGET = "disk_budget"
    DISK_FULL = "disk_full"
    OUT_OF_MEMORY = "out_of_memory"

    # Before the programs start. Parameters: requirements (list of requirement and problem); error (an error code).
    REQUIREMENTS_MISSING = "requirements_missing"
    INPUTS_REFUSED = "inputs_refused"
    INPUTS_UNAVAILABLE = "inputs_unavailable"
    RECIPE_UNAVAILABLE = "recipe_unavailable"
    # Parameters part and, of a rank, rank.
    WORKER_FAULT = "worker_fault"

    # A program reported it. Parameters: rank; fields (list of field and message); what, value, step and epoch;
    # exception (the name of its class).
    BAD_DATA = "bad_data"
    NOT_FINITE = "not_finite"
    PEER_LOST = "peer_lost"
    PROGRAM_FAILED = "program_failed"

    # A program reported nothing. Parameters: rank; exit_code, or signal and signal_name; log_tail.
    RANK_EXITED = "rank_exited"
    RANK_KILLED = "rank_killed"
    GUARD_LOST = "guard_lost"
    LAUNCHER_FAILED = "launcher_failed"
    STOPPED_FROM_OUTSIDE = "stopped_from_outside"
    NO_OUTCOME = "no_outcome"

    # What it left. Parameters error (an error code); model; of a script files and files_left_out: how many of the files
    # that it wrote are kept, and how many are not.
    MODEL_REFUSED = "model_refused"
    MODEL_NOT_LOGGED = "model_not_logged"
    RESULT_INVALID = "result_invalid"
    RESULT_REFUSED = "result_refused"


# What a program may report of itself, in outcome.json; the other codes are the platform's to give.
REPORTED_BY_PROGRAMS = frozenset(
    {
        EndCause.BAD_DATA,
        EndCause.NOT_FINITE,
        EndCause.PEER_LOST,
        EndCause.PROGRAM_FAILED,
        EndCause.OUT_OF_MEMORY,
        EndCause.DISK_FULL,
        EndCause.INPUTS_REFUSED,
        EndCause.RECIPE_UNAVAILABLE,
        EndCause.MODEL_REFUSED,
    }
)
