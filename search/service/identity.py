"""Who a request is from, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from search.store import Role


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request is from.

    Args:
        name: Name of the token, or ``local`` where no token is needed.
        role: What they may do.
    """

    name: str
    role: Role

    @property
    def logged_in(self) -> bool:
        """Whether a token said so."""
        return self != LOCAL

    @property
    def may_submit(self) -> bool:
        """Whether they may change anything."""
        return self.role is Role.SUBMITTER


LOCAL = Identity("local", Role.SUBMITTER)
"""Whoever reaches a service that listens on this machine only and has no tokens."""
