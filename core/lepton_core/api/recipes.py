"""What can be trained."""

import warnings

from pydantic import Field

from lepton_core.api.base import Answer, JsonObject, Resource

with warnings.catch_warnings():
    # pydantic keeps a deprecated method of that name; nobody calls it here.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class Recipe(Resource):
        """What workers can run. Rows are immutable and stay when no worker is up."""

        name: str = ""
        version: str = ""
        title: str = ""
        schema: JsonObject = Field(  # type: ignore[assignment]
            default_factory=dict, description="JSON Schema of the settings, at most 64 KiB."
        )
        schema_digest: str = ""
        created_at_us: int = 0


class ListRecipesResponse(Answer):
    recipes: list[Recipe]
