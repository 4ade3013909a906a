"""What is usually written to serve a forest: FastAPI, a pydantic model, scikit-learn on the columns as they are."""

from __future__ import annotations

import numpy as np
from benchmarks.stream import BEGIN, COLUMNS, made
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.ensemble import IsolationForest

TRAINED_ON = 20_000

app = FastAPI()
_rows = np.array([[event[column] for column in COLUMNS] for event in made(TRAINED_ON, BEGIN)])
_forest = IsolationForest(n_estimators=100, random_state=0).fit(_rows)


class Row(BaseModel):
    time: float
    host: str
    bytes: float
    packets: float
    seconds: float


@app.post("/v1/score")
def score(row: Row) -> dict[str, float | bool]:
    values = np.array([[row.bytes, row.packets, row.seconds]])
    return {"score": float(-_forest.score_samples(values)[0]), "flagged": bool(_forest.predict(values)[0] == -1)}
