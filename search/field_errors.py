"""Every problem that pydantic finds, as a field, the value given, what is wrong with it and what to do."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated
from typing import Any
from typing import Union
from typing import get_args
from typing import get_origin

from pydantic import BaseModel
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spaces.refusal import REFUSAL
from trainers.errors import FieldError

_UNNAMED = ("value", "range")
"""What a check of one value calls its field when it does not know it; the path does."""

_TAGGED = ("space",)
"""Fields that hold one of several models: pydantic's path names the chosen one, users do not."""

_PROBLEMS = {
    "missing": "is required and was not given",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "string_type": "is not text",
    "path_type": "is not a path",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "dict_type": "is not a mapping of names to values",
    "model_type": "is not a mapping of names to values",
    "model_attributes_type": "is not a mapping of names to values",
    "union_tag_not_found": "does not say which kind of space it is",
    "extra_forbidden": "there is no such field",
}


def field_errors(
    error: ValidationError, model: type[BaseModel], remedies: Mapping[str, str]
) -> list[FieldError]:
    """Say what is wrong as the user would look for it, one entry a problem.

    Args:
        error: What pydantic raised.
        model: The model that was read.
        remedies: What to do, by dotted field name without positions in lists.
    """
    return [_field_error(details, model, remedies) for details in error.errors(include_url=False)]


def location(details: ErrorDetails) -> tuple[int | str, ...]:
    """Return the path to what is wrong, as keys of the user's data."""
    path = details["loc"]
    if len(path) > 1 and path[0] in _TAGGED:
        return (path[0], *path[2:])
    return path


def dotted(path: Iterable[int | str]) -> str:
    """Write a path as users read it: ``training.milestones[1]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _field_error(details: ErrorDetails, model: type[BaseModel], remedies: Mapping[str, str]) -> FieldError:
    path = location(details)
    field = dotted(path)
    context = details.get("ctx", {})
    if details["type"] == REFUSAL:
        named = str(context["field"])
        if named in _UNNAMED:
            remedy = _remedy(path, remedies) if named == "value" else context["remedy"]
            return FieldError(field, context["value"], context["problem"], remedy)
        # A check of a whole model names its field itself, since pydantic gives it the model's path.
        if not field.endswith(named):
            field = f"{field}.{named}" if field else named
        return FieldError(field, context["value"], context["problem"], context["remedy"])
    if details["type"] == "union_tag_invalid":
        path = (*path, "kind")
    if details["type"] == "extra_forbidden":
        return FieldError(
            field, details["input"], _PROBLEMS["extra_forbidden"], _nearest_field(path, details, model)
        )
    value = None if details["type"] == "missing" else details["input"]
    if details["type"] == "union_tag_invalid":
        value = context["tag"]
    remedy = _remedy(path, remedies)
    expected = _expected(details)
    if expected and isinstance(value, str):
        nearest = get_close_matches(value.lower(), expected, n=1)
        remedy = (f"Did you mean {nearest[0]!r}? " if nearest else "") + remedy
    return FieldError(dotted(path), value, _problem(details), remedy)


def _expected(details: ErrorDetails) -> list[str]:
    """Names that pydantic would have taken in place of a wrong one."""
    context = details.get("ctx", {})
    return re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))


def _remedy(path: tuple[int | str, ...], remedies: Mapping[str, str]) -> str:
    """The remedy of the field, or of the closest field around it that has one."""
    names = [str(step) for step in path if not isinstance(step, int)]
    for length in range(len(names), 0, -1):
        if remedy := remedies.get(".".join(names[:length])):
            return remedy
    return "See the configuration reference in README."


def _problem(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than":
            return f"must be above {context['gt']:g}"
        case "greater_than_equal":
            return f"must be {context['ge']:g} or more"
        case "less_than":
            return f"must be below {context['lt']:g}"
        case "less_than_equal":
            return f"must be {context['le']:g} or less"
        case "literal_error" | "union_tag_invalid":
            expected = _expected(details)
            return f"is none of {', '.join(expected)}" if len(expected) > 1 else f"is not {expected[0]}"
        case "too_short":
            return f"has fewer than {context['min_length']} entr{'y' if context['min_length'] == 1 else 'ies'}"
        case "too_long":
            return f"has more than {context['max_length']} entr{'y' if context['max_length'] == 1 else 'ies'}"
        case known if known in _PROBLEMS:
            return _PROBLEMS[known]
    return details["msg"][0].lower() + details["msg"][1:]


def _nearest_field(path: tuple[int | str, ...], details: ErrorDetails, model: type[BaseModel]) -> str:
    wrong = str(path[-1]).replace("-", "_")  # as the command line's options are written
    fields = _fields_at(details["loc"][:-1], model)
    if len(path) == 1 and wrong not in fields:
        for section in fields:
            if wrong in _fields_at((section,), model):
                return f"Write it under {section}: {section}.{wrong}."
    nearest = get_close_matches(wrong, fields, n=1)
    if nearest:
        return f"Did you mean {nearest[0]!r}?"
    return f"Remove it. There are: {', '.join(fields)}." if fields else "Remove it."


def _fields_at(path: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Names of the fields of the model at the end of a path of pydantic's."""
    models = [model]
    for step in path:
        inner = [
            found
            for each in models
            if step in each.model_fields
            for found in _models_in(each.model_fields[str(step)].annotation)
        ]
        # A step that is no field is a position in a list, or the tag that chooses one of several models.
        tagged = [
            each
            for each in models
            if (kind := each.model_fields.get("kind")) is not None and kind.default == step
        ]
        models = inner or tagged or models
    return list(dict.fromkeys(name for each in models for name in each.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return _models_in(get_args(annotation)[0])
    if get_origin(annotation) is None or get_origin(annotation) not in (Union, types.UnionType, tuple, list):
        return []
    return [found for part in get_args(annotation) for found in _models_in(part)]
