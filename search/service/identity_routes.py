"""The route that tells who asks."""

from __future__ import annotations

from fastapi import APIRouter

from search.service import examples
from search.service.answers import declared
from search.service.asking import Asker
from search.service.views import IdentityView

router = APIRouter(prefix="/api/v1", tags=["tokens"])


@router.get(
    "/me",
    operation_id="read_me",
    summary="Read who asks",
    response_description="Whose token it is, and what it may do.",
    responses={**declared(), 200: examples.of({"name": "ada", "role": "submitter", "logged_in": True})},
)
def me(asker: Asker) -> IdentityView:
    """Read the name and role of the token; `local`, not logged in, where the service needs none."""
    return IdentityView(name=asker.name, role=asker.role, logged_in=asker.logged_in)
