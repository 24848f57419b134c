"""The routes of the API beside sweeps: recommendations, what a spec may name, and whether one can be submitted."""

from __future__ import annotations

from typing import Annotated
from typing import Any

from fastapi import APIRouter
from fastapi import Depends
from fastapi import Query

from search.service import examples
from search.service.answers import declared
from search.service.answers import not_found
from search.service.asking import Checking
from search.service.asking import Reading
from search.service.asking import Submitting
from search.service.json_body import json_object
from search.service.problems import Refused
from search.service.sweep_routes import Priority
from search.service.sweep_routes import RequestKey
from search.service.sweep_routes import Text
from search.service.views import Checked
from search.service.views import NamedView
from search.service.views import SupervisionView
from trainers.errors import InvalidInput

router = APIRouter(prefix="/api/v1")


@router.get(
    "/recommendations",
    tags=["recommendations"],
    operation_id="list_recommendations",
    summary="Read what was found",
    response_description="The objects of `emphasis export --format json`; at least one.",
    responses={**declared(404, 422), 200: examples.of([examples.RECOMMENDATION])},
)
def recommendations(
    asked: Reading,
    dataset: Text = None,
    noise_rate: Annotated[float | None, Query(ge=0, lt=1)] = None,
    backbone: Text = None,
    supervision: Text = None,
    noise_model: Text = None,
    objective: Text = None,
) -> list[dict[str, Any]]:
    """Read what is recommended for each dataset, noise, network, supervision and objective.

    Each by the newest sweep that confirmed its best on fresh seeds; where none did, by the newest that is done.
    """
    try:
        return asked.recommendations(
            dataset,
            noise_rate,
            backbone=backbone,
            supervision=supervision,
            noise_model=noise_model,
            objective=objective,
        )
    except InvalidInput as error:
        raise Refused(not_found(error)) from None


@router.post(
    "/validate",
    tags=["sweeps"],
    operation_id="validate_sweep",
    summary="Check a spec without submitting it",
    response_description="It can be submitted; this is what it comes to.",
    responses={**declared(400, 409, 413, 415, 422), 200: examples.of(examples.CHECKED)},
)
async def validate(
    asked: Submitting,
    threads: Checking,
    fields: Annotated[dict[str, Any], Depends(json_object)],
    priority: Priority = 0,
    request_key: RequestKey = None,
) -> Checked:
    """Check a sweep's fields, data and resources as a submission does. Nothing is recorded or downloaded."""
    return await threads.run(lambda: asked.check(fields, priority=priority, request_key=request_key))


@router.get(
    "/datasets",
    tags=["catalogue"],
    operation_id="list_datasets",
    summary="List data sets",
    response_description="Those that have a name.",
    responses={**declared(), 200: examples.of([{"name": "digits", "description": "...", "problem": None}])},
)
def datasets(asked: Reading) -> list[NamedView]:
    """Read which data sets have a name; a spec may name a path too."""
    return asked.datasets()


@router.get(
    "/noise-models",
    tags=["catalogue"],
    operation_id="list_noise_models",
    summary="List noise models",
    response_description="All of them.",
    responses={**declared(), 200: examples.of([{"name": "symmetric", "description": "...", "problem": None}])},
)
def noise_models(asked: Reading) -> list[NamedView]:
    """Read which models of label noise there are."""
    return asked.noise_models()


@router.get(
    "/backbones",
    tags=["catalogue"],
    operation_id="list_backbones",
    summary="List networks",
    response_description="Those that have a name of their own.",
    responses={**declared(), 200: examples.of([{"name": "resnet20", "description": "...", "problem": None}])},
)
def backbones(asked: Reading) -> list[NamedView]:
    """Read which networks have a name of their own; a spec may name one of torchvision's too."""
    return asked.backbones()


@router.get(
    "/spaces",
    tags=["catalogue"],
    operation_id="list_spaces",
    summary="List search spaces",
    response_description="Those that have a name.",
    responses={**declared(), 200: examples.of([{"name": "kappa", "description": "...", "problem": None}])},
)
def spaces(asked: Reading) -> list[NamedView]:
    """Read which search spaces have a name; that of a supervision is where it is searched by default."""
    return asked.spaces()


@router.get(
    "/supervisions",
    tags=["catalogue"],
    operation_id="list_supervisions",
    summary="List supervisions",
    response_description="All of them, with their hyper-parameters.",
    responses={**declared(), 200: examples.of([examples.SUPERVISION])},
)
def supervisions(asked: Reading) -> list[SupervisionView]:
    """Read which supervisions can be searched."""
    return asked.supervisions()
