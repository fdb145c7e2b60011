"""Events, in their order."""

from pydantic import Field

from lepton_core.api.base import Answer, JsonObject, Resource


class Event(Resource):
    """An event with the attributes of CloudEvents 1.0."""

    id: str = ""
    position: int = Field(0, description="Position in the order of all events; 0 before the leader has numbered it.")
    type: str = Field("", description='"dev.lepton.run.succeeded.v1"')
    subject: str = Field("", description="Id of the resource that has changed.")
    project: str = ""
    at_us: int = 0
    data: JsonObject = Field(default_factory=dict)


class ListEventsResponse(Answer):
    events: list[Event]
    last_position: int
