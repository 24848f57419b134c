"""Tokens of the service: their names, roles and hashes."""

from __future__ import annotations

from sqlalchemy import func
from sqlalchemy import select

from search.store.database import Database
from search.store.models import Token
from search.store.records import Role
from search.store.records import TokenRecord
from search.store.records import utc_now
from trainers.errors import FieldError
from trainers.errors import InvalidInput


class Tokens:
    """The tokens of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, role: Role, hash: str) -> TokenRecord:
        """Record a new token.

        Args:
            name: Whose it is; may not have been used before, revoked or not: sweeps bear it.
            role: What it allows.
            hash: SHA-256 of its text, in hex.

        Raises:
            InvalidInput: The name is taken.
        """
        with self._database.writing() as session:
            if session.get(Token, name) is not None:
                raise InvalidInput(
                    FieldError("name", name, "a token has or had this name", "Choose another, e.g. with a number.")
                )
            row = Token(name=name, role=role, hash=hash, created_at=utc_now())
            session.add(row)
            session.flush()
            return _record(row)

    def revoke(self, name: str) -> TokenRecord:
        """Make a token worthless from now on; one that is already stays so.

        Raises:
            InvalidInput: There is no such token.
        """
        with self._database.writing() as session:
            row = session.get(Token, name)
            if row is None:
                raise InvalidInput(
                    FieldError("name", name, "there is no such token", "See them with `emphasis token list`.")
                )
            row.revoked_at = row.revoked_at or utc_now()
            session.flush()
            return _record(row)

    def all(self) -> list[TokenRecord]:
        """Every token, oldest first, revoked ones too."""
        with self._database.reading() as session:
            return [_record(row) for row in session.scalars(select(Token).order_by(Token.created_at, Token.name))]

    def find(self, hash: str) -> TokenRecord | None:
        """The token with this hash, unless it was revoked."""
        with self._database.reading() as session:
            row = session.scalars(select(Token).where(Token.hash == hash, Token.revoked_at.is_(None))).one_or_none()
            return None if row is None else _record(row)

    def exist(self) -> bool:
        """Whether there is a token that is good."""
        with self._database.reading() as session:
            good = select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))
            return bool(session.scalar(good))

    def were_made(self) -> bool:
        """Whether there has ever been a token, revoked or not: where there has, nobody goes without one."""
        with self._database.reading() as session:
            return bool(session.scalar(select(func.count()).select_from(Token)))


def _record(row: Token) -> TokenRecord:
    return TokenRecord(row.name, row.role, row.created_at, row.revoked_at)
