"""The bare path of a submission, first half: uvicorn + FastAPI + pydantic → grpc.aio.

`python -m benchmarks.references.bare_gateway REGISTRY_PORT PORT`.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

from benchmarks.references.bare_registry import METHOD


class Resources(BaseModel):
    ranks: int = 1


class Register(BaseModel):
    model: str


class Job(BaseModel):
    name: str
    recipe: str
    data: str
    train: dict[str, Any]
    resources: Resources
    register_as: Register | None = None
    labels: dict[str, str] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        app.state.submit = channel.unary_unary(METHOD)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/v1/jobs", status_code=202)
async def submit(job: Job, request: Request) -> dict[str, str]:
    answer: bytes = await request.app.state.submit(json.dumps(job.model_dump()).encode())
    return {"id": answer.decode(), "state": "queued"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
