"""Recipes."""

import warnings

from pydantic import Field

from lepton_core.api.base import Answer, JsonObject, Resource

with warnings.catch_warnings():
    # pydantic has a deprecated method `schema`, which is not used here; hence the type error below, too.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class Recipe(Resource):
        """A recipe that workers have announced. A version never changes, and stays when no worker is up."""

        name: str = ""
        version: str = ""
        title: str = ""
        schema: JsonObject = Field(  # type: ignore[assignment]  # see above
            default_factory=dict, description="JSON Schema of the settings, at most 64 KiB."
        )
        schema_digest: str = ""
        created_at_us: int = 0


class ListRecipesResponse(Answer):
    recipes: list[Recipe]
