"""Workers."""

from pydantic import Field

from lepton_core.api.base import Answer, Resource


class Worker(Resource):
    id: str = ""
    hostname: str = ""
    incarnation: int = 0
    recipes: list[str] = Field(default_factory=list, description='"vision.classifier@2"')
    accepts_scripts: bool = False
    max_ranks: int = 0
    gpus: int = 0
    registered_at_us: int = 0
    seen_at_us: int = 0
    alive: bool = Field(False, description="Whether it was seen within the last minute.")
    current_attempt_id: str = ""
    draining: bool = Field(False, description="It gets no more work until it is restarted.")
    isolates_scripts: bool = Field(
        False, description="Whether it runs scripts as an operating-system user other than its own."
    )


class ListWorkersResponse(Answer):
    workers: list[Worker]
