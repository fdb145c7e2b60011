"""A plain FastAPI + ONNX Runtime app, as tutorials write it. `python fastapi_onnx.py MODEL PORT`."""

import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Input(BaseModel):
    x: list[Any]


@app.post("/predict")
def predict(body: Input) -> dict[str, Any]:
    (y,) = session.run(["y"], {"x": np.array(body.x, dtype=np.float32)})
    return {"y": y[0].tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
