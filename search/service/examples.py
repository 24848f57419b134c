"""Examples for the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

SPECS = {
    "shortest": {"summary": "Everything else by default", "value": {"dataset": "digits", "noise_rate": 0.4}},
    "longer": {
        "summary": "Another supervision, a small budget",
        "value": {
            "dataset": "digits",
            "noise_rate": 0.4,
            "supervision": "gce",
            "trials": 12,
            "training": {"epochs": 30},
            "confirm": {"top": 2, "seeds": 3},
        },
    },
}

LISTED: dict[str, Any] = {
    "id": "digits-r40-260101-120000-3f9a1c",
    "state": "running",
    "message": None,
    "dataset": "digits",
    "noise_rate": 0.4,
    "noise_model": "symmetric",
    "backbone": "mlp",
    "supervision": "gr",
    "submitter": "ada",
    "priority": 0,
    "request_key": None,
    "attended": False,
    "owner": "node1:4242:1767268801.25",
    "created_at": "2026-01-01T12:00:00Z",
    "started_at": "2026-01-01T12:00:01Z",
    "finished_at": None,
    "progress": {"waiting": 2, "running": 2, "done": 11, "failed": 0, "pruned": 0, "planned": 42},
    "best": {
        "supervision": "gr",
        "hyperparameters": {"beta": 12.0, "lambda": 0.5},
        "objective": 0.978,
        "objective_name": "intact_train_accuracy",
        "test_accuracy": 0.961,
        "seeds": 1,
        "confirmed": False,
    },
    "baseline_objective": None,
    "notes": [],
    "mlflow_url": "http://127.0.0.1:5000/#/runs/0a1b2c3d4e5f60718293a4b5c6d7e8f9",
}

SWEEP: dict[str, Any] = {
    **LISTED,
    "spec": {"dataset": "digits", "noise_rate": 0.4, "supervision": "gr", "trials": 30},
    "versions": {"emphasis": "0.1.0", "torch": "2.11.0"},
    "facts": {"num_classes": 10, "train_examples": 1437},
    "data_hash": "219036e925f42b96a4eb97d288dd2f3a9c18f42c8a7978789fd8ddad18fec021",
    "heartbeat_at": "2026-01-01T12:00:31Z",
    "lease_expires_at": "2026-01-01T12:01:01Z",
    "fence": 1,
    "deaths": 0,
    "last_event": 27,
}

_REACHED = {"epoch": 30, "test": 0.961, "corrupted_train": 0.61, "intact_train": 0.978, "validation": None}

TRIAL: dict[str, Any] = {
    "id": f"{SWEEP['id']}-0000",
    "number": 0,
    "phase": "search",
    "configuration": 0,
    "repeat": 0,
    "supervision": "gr",
    "hyperparameters": {"beta": 12.0, "lambda": 0.5},
    "params": {"lam": 0.5, "kappa": 3.3},
    "noise_rate": 0.4,
    "seed": 7,
    "noise_seed": 11,
    "state": "done",
    "reason": None,
    "objective": 0.978,
    "test_accuracy": 0.961,
    "final": _REACHED,
    "best": _REACHED,
    "noise_hash": "0d1c",
    "realised_noise_rate": 0.401,
    "train_seconds": 2.4,
    "attempts": 1,
    "started_at": "2026-01-01T12:00:02Z",
    "finished_at": "2026-01-01T12:00:05Z",
    "computed_by": {"host": "node-1", "engine": "solo", "device": "cpu", "precision": "fp32"},
}

CURVE: dict[str, Any] = {
    "trial_id": TRIAL["id"],
    "items": [
        {
            "epoch": 1,
            "iteration": 12,
            "train_loss": 1.9,
            "learning_rate": 0.02,
            "test_accuracy": 0.71,
            "corrupted_train_accuracy": 0.44,
            "intact_train_accuracy": 0.7,
            "validation_accuracy": None,
            "running_corrupted_train_accuracy": 0.31,
            "running_intact_train_accuracy": 0.47,
            "seconds": 0.05,
            "recorded_at": "2026-01-01T12:00:03Z",
        }
    ],
}

_EVENT: dict[str, Any] = {
    "sweep_id": SWEEP["id"],
    "number": 1,
    "at": "2026-01-01T12:00:00Z",
    "level": "info",
    "kind": "submitted",
    "message": "submitted by ada",
    "trial_id": None,
    "data": {},
}
EVENTS: dict[str, Any] = {"items": [_EVENT], "next": 1, "ended": False}
EVENT_STREAM = f"id: 1\nevent: submitted\ndata: {json.dumps(_EVENT)}\n\n"

_ESTIMATE = {"mean": 0.974, "sem": 0.002, "n": 3}
STANDING: dict[str, Any] = {
    "rank": 1,
    "supervision": "gr",
    "hyperparameters": {"beta": 12.0, "lambda": 0.5},
    "objective": {"name": "intact_train_accuracy", **_ESTIMATE},
    "test_accuracy": _ESTIMATE,
    "confirmed": True,
    "mark": "recommended",
}
RECOMMENDATION: dict[str, Any] = {
    "dataset": "digits",
    "noise_rate": 0.4,
    "noise_model": "symmetric",
    "backbone": "mlp",
    "recommended": {"supervision": "gr", "beta": 12.0, "lambda": 0.5, "transform": "exp", "normalise": "batch"},
    "searched": ["beta", "lambda"],
    "objective": {"name": "intact_train_accuracy", **_ESTIMATE},
    "test_accuracy": _ESTIMATE,
    "intact_accuracy": _ESTIMATE,
    "baseline": None,
    "ties": [],
    "provenance": {
        "sweep_id": SWEEP["id"],
        "confirmed": True,
        "seeds": [101, 102, 103],
        "source": "digits",
        "training": {"epochs": 30, "batch_size": 128, "learning_rate": 0.02},
    },
}

STATUS: dict[str, Any] = {
    "workers": [
        {
            "name": "node1:4200:1767268700.5",
            "kind": "worker",
            "facts": {"resources": {"CPU": 8.0, "GPU": 1.0}},
            "started_at": "2026-01-01T11:58:20Z",
            "heartbeat_at": "2026-01-01T12:00:30Z",
        }
    ],
    "servers": [],
    "sweeps": {"queued": 0, "running": 1, "done": 3},
    "running": [LISTED],
    "queue": [],
    "waiting": 0,
}

CHECKED: dict[str, Any] = {
    "dataset": "digits",
    "noise_rate": 0.4,
    "supervision": "gr",
    "trials": 42,
    "warnings": [],
    "notes": ["Objective: final accuracy on the intact labels of the training set (1,437 examples)."],
}

SUPERVISION: dict[str, Any] = {
    "name": "gce",
    "description": "Generalised cross entropy, (1 - p^q) / q: the gradient of CCE weighted with p^q.",
    "problem": None,
    "hyperparameters": [{"name": "q", "default": 0.7}],
}


def of(example: Any) -> dict[str, Any]:
    """An answer with an example of its body, for an operation's ``responses``."""
    return {"content": {"application/json": {"example": example}}}
