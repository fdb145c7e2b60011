"""The client: one object with a group of methods for each resource."""

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
    """Calls one platform with one API key, which selects the project.

    Without arguments it uses `LEPTON_URL` and `LEPTON_API_KEY`, or the login that `lepton up` or `lepton login` saved.
    Calls raise `LeptonError` with a stable code. While the platform cannot be reached, requests are repeated for
    `retry_seconds`. Several threads may use one client.
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
        """The deployed model's prediction for one example. The name of the argument is the kind of input:

        - `image=`: a path, the bytes of an image file, a Pillow image, or an array of UINT8 (height, width[, 3])
        - `row=`: a mapping of columns to values, a pandas Series, or a pandas or Polars table with one row
        - `text=`: a text, or the path (pathlib.Path) of a text file
        - `tensor=`: nested lists or an array without the batch dimension, or a mapping of tensor names to these

        Installed packages may add kinds. Numbers and arrays may be numpy's or torch's.
        """
        return predict(self._transport, deployment, **inputs)

    def predict_many(self, deployment: str, **inputs: Any) -> list[Prediction]:
        """One prediction for each example, in the same order, by one request: `images=`, `rows=`, `texts=` or
        `tensors=`.

        The value is a list of what `predict` takes. Rows may also be a pandas, Polars or Arrow table; tensors an array
        or a mapping of names to arrays, whose first dimension is the batch.
        """
        return predict_many(self._transport, deployment, **inputs)

    def predict_rows(self, deployment: str, rows: Any) -> list[Prediction]:
        """One prediction for each row, in the same order; the same as `predict_many(deployment, rows=rows)`."""
        return predict_many(self._transport, deployment, rows=rows)

    def lineage(self, id: str, direction: Literal["up", "down", "both"] = "up", *, max_depth: int = 20) -> Lineage:
        """All that a resource was made from (`up`), or all that was made from it (`down`). `root` is an id, also of a
        prediction, or a reference such as `digits@champion`."""
        params = {"direction": direction, "max_depth": max_depth}
        return self._transport.get(f"/v1/lineage/{part(id, 'id')}", Lineage, params)

    def recipes(self) -> list[Recipe]:
        """The recipes that the platform's workers can train, with the JSON Schema of each recipe's settings."""
        return self._transport.get("/v1/recipes", ListRecipesResponse).recipes

    def whoami(self) -> Caller:
        """The API key that this client uses: id, name, role and project."""
        return self._transport.get("/v1/whoami", Caller)

    def close(self) -> None:
        """Closes the connections. A client is also a context manager, which does this at the end."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
