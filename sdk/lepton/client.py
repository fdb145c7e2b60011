"""The client: one object with a group of verbs for each resource."""

from __future__ import annotations

from typing import Any, Literal, Self

from lepton.resources.datasets import Datasets
from lepton.resources.deployments import Deployments
from lepton.resources.jobs import Jobs
from lepton.resources.keys import Keys
from lepton.resources.models import Models
from lepton.resources.predictions import Prediction, predict, predict_many
from lepton.resources.runs import Runs
from lepton.resources.workers import Workers
from lepton.transport.http import Transport, part
from lepton.transport.login import find_login
from lepton_core.api import Caller, Lineage, ListRecipesResponse, Recipe


class Client:
    """Talks to one platform with one API key, which selects the project.

    Without arguments it finds the login that `lepton up` or `lepton login` made, or `LEPTON_URL` and
    `LEPTON_API_KEY`. Calls raise `LeptonError` with a stable code; requests are repeated for `retry_seconds` while the
    platform cannot be reached. A client may be used by several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retry_seconds: float = 30.0,
    ) -> None:
        login = find_login(url, api_key)
        self.url = login.url
        self._transport = Transport(login, timeout_seconds=timeout_seconds, retry_seconds=retry_seconds)
        self.datasets = Datasets(self._transport)
        self.models = Models(self._transport)
        self.runs = Runs(self._transport, self.models)
        self.jobs = Jobs(self._transport, self.runs)
        self.deployments = Deployments(self._transport)
        self.keys = Keys(self._transport)
        self.workers = Workers(self._transport)

    def predict(self, deployment: str, **inputs: Any) -> Prediction:
        """What the deployed model says about one example, given under the name of its kind:

        - `image=`: a path, the bytes of an image file, a Pillow image, or an array of UINT8 (height, width[, 3])
        - `row=`: a mapping of columns to values, a pandas Series, or a pandas or Polars table of one row
        - `text=`: a text, or the path (pathlib.Path) of a file that holds it
        - `tensor=`: nested lists or an array without the batch, or a mapping of tensor names to such

        Kinds of installed packages come to these. Numbers and arrays may be those of numpy or torch.
        """
        return predict(self._transport, deployment, **inputs)

    def predict_many(self, deployment: str, **inputs: Any) -> list[Prediction]:
        """One prediction for each example, in their order, in one request: `images=`, `rows=`, `texts=` or `tensors=`.

        A list of what `predict` takes. Rows may also be a pandas, Polars or Arrow table; tensors an array, or a mapping
        of names to arrays, whose first dimension is the batch.
        """
        return predict_many(self._transport, deployment, **inputs)

    def predict_rows(self, deployment: str, rows: Any) -> list[Prediction]:
        """One prediction a row, in their order: `predict_many(deployment, rows=rows)`."""
        return predict_many(self._transport, deployment, rows=rows)

    def lineage(self, id: str, direction: Literal["up", "down", "both"] = "up", *, max_depth: int = 20) -> Lineage:
        """The closure of anything with an id (a prediction's too), or of a reference such as `digits@champion`:
        `up` to what it came from, `down` to what was made of it."""
        params = {"direction": direction, "max_depth": max_depth}
        return self._transport.get(f"/v1/lineage/{part(id, 'id')}", Lineage, params)

    def recipes(self) -> list[Recipe]:
        """What the platform's workers can train, with the JSON Schema of each one's settings."""
        return self._transport.get("/v1/recipes", ListRecipesResponse).recipes

    def whoami(self) -> Caller:
        """The key that this client presents: its id, name, role and project."""
        return self._transport.get("/v1/whoami", Caller)

    def close(self) -> None:
        """Close the connections. A client is also a context manager, which does it at the end."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
