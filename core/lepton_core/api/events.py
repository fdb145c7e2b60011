"""What happened, in order."""

from pydantic import Field

from lepton_core.api.base import Answer, JsonObject, Resource


class Event(Resource):
    """CloudEvents 1.0 in substance; "data_json" is the event's data."""

    id: str = ""
    position: int = Field(0, description="Order in which events can be read; 0 before the leader has numbered it.")
    type: str = Field("", description='"dev.lepton.run.succeeded.v1"')
    subject: str = Field("", description="The thing it is about: an id.")
    project: str = ""
    at_us: int = 0
    data: JsonObject = Field(default_factory=dict)


class ListEventsResponse(Answer):
    events: list[Event]
    last_position: int
