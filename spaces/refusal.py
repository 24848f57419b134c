"""How this package says no: which field, which value, what is wrong, what to do instead."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

REFUSAL = "refusal"
"""The ``type`` of every such error inside a pydantic ``ValidationError``."""


def refusal(
    field: str, value: object, problem: str, remedy: str, *, reads: tuple[str, ...] = ()
) -> ValueError:
    """Build the error to raise for one value that cannot be used.

    It is a ``ValueError`` that pydantic keeps apart field by field when it is raised in a validator, so
    that everything wrong with an input can be reported at once; its parts stay readable in its context.

    Args:
        field: Name of the field as the user writes it.
        value: The value that was given.
        problem: What is wrong with it, without a full stop.
        remedy: What to do instead, a sentence.
        reads: Every field that was read to find this out, for a check across fields.
    """
    return PydanticCustomError(
        REFUSAL,
        "{message}",
        {
            "message": f"{field} = {value!r}: {problem}. {remedy}",
            "field": field,
            "value": value,
            "problem": problem,
            "remedy": remedy,
            "reads": reads or (field,),
        },
    )
