"""The OpenAPI document of the API: what FastAPI derives from the routes, and what it cannot know."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from search.service import examples
from search.service.answers import PROBLEM_SCHEMA
from search.service.guard import COOKIE

_DESCRIPTION = """
Sweeps search the best hyper-parameters for training under label noise. They are submitted to a queue, run by workers,
and watched, steered and read here. Errors are problem details (RFC 9457) that name every field that is wrong, its
value and the remedy. Every id of a sweep may be shortened to how it begins.
"""

_REF = "#/components/schemas/{model}"
_OPEN = ("live", "ready")


def describe(app: FastAPI) -> None:
    """Have an application describe itself; the document is made when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="Emphasis",
        version=importlib.metadata.version("emphasis"),
        description=_DESCRIPTION.strip(),
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    _add_spec(schemas)
    body = {"schema": {"$ref": _REF.format(model="SweepSpec")}, "examples": examples.SPECS}
    for path in ("/api/v1/sweeps", "/api/v1/validate"):
        document["paths"][path]["post"]["requestBody"] = {"required": True, "content": {"application/json": body}}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "As `emphasis token create` shows it."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by the log-in page."},
    }
    document["security"] = [{"token": []}, {"cookie": []}]
    for operations in document["paths"].values():
        for operation in operations.values():
            if operation["operationId"] in _OPEN:
                operation["security"] = []
    _link(document["paths"])
    return document


def _link(paths: dict[str, Any]) -> None:
    """Say where the id in a submission's answer leads."""
    links = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {"sweep": "$response.body#/id"},
        }
        for path, operations in paths.items()
        for operation in operations.values()
        if "{sweep}" in path and path.count("{") == 1
    }
    for status in ("200", "201"):
        paths["/api/v1/sweeps"]["post"]["responses"][status]["links"] = links


def _add_spec(schemas: dict[str, Any]) -> None:
    # Imported here since it takes a second, and only the document needs it.
    from search.spec import SweepSpec

    schema = SweepSpec.model_json_schema(ref_template=_REF)
    schemas |= schema.pop("$defs", {})
    schema["description"] = "A sweep: one dataset at one noise rate. The configuration reference is in README."
    # A space may be written short: by its name, or as a list of cells.
    space = schema["properties"]["space"]
    space["anyOf"] = [
        {"type": "string", "description": "The name of a space."},
        {"type": "array", "items": {"type": "object"}, "description": "Cells."},
        *space["anyOf"],
    ]
    schemas["SweepSpec"] = schema
