"""`emphasis datasets`, `noise-models`, `backbones`, `supervisions`, `spaces`: what there is, plugins among it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from search.catalogue import PATHS
from search.catalogue import TORCHVISION_BACKBONES
from search.cli.home import ServerOption
from search.cli.home import client_of
from search.cli.home import server_of
from search.cli.streams import say

if TYPE_CHECKING:
    from search.service.interface import Catalogue
    from search.service.views import NamedView


def supervisions(ctx: typer.Context, server: ServerOption = None) -> None:
    """List the supervisions with their hyper-parameters, defaults and a line on each.

    Example:

    \b
      emphasis supervisions
      emphasis run --dataset digits --noise-rate 0.4 --supervision gce
    """
    with _catalogue(ctx, server) as there:
        _list(there.supervisions())


def spaces(ctx: typer.Context, server: ServerOption = None) -> None:
    """List the search spaces that have a name; that of a supervision is where it is searched by default.

    Example:

    \b
      emphasis spaces
      emphasis run --dataset digits --noise-rate 0.4 --space paper-figures-6-9
    """
    with _catalogue(ctx, server) as there:
        _list(there.spaces())


def datasets(ctx: typer.Context, server: ServerOption = None) -> None:
    """List the data sets that have a name, and the kinds of path that stand for one.

    Example:

    \b
      emphasis datasets
      emphasis run --dataset digits --noise-rate 0.4
    """
    with _catalogue(ctx, server) as there:
        _list(there.datasets())
    _list(_told(PATHS))


def noise_models(ctx: typer.Context, server: ServerOption = None) -> None:
    """List the models of label noise, with a line on each.

    Example:

    \b
      emphasis noise-models
      emphasis run --dataset cifar10 --noise-rate 0.4 --noise-model asymmetric_cifar10
    """
    with _catalogue(ctx, server) as there:
        _list(there.noise_models())


def backbones(ctx: typer.Context, server: ServerOption = None) -> None:
    """List the networks that have a name, and the prefix of torchvision's.

    Example:

    \b
      emphasis backbones
      emphasis run --dataset cifar10 --noise-rate 0.4 --backbone resnet20
    """
    with _catalogue(ctx, server) as there:
        _list(there.backbones())
    _list(_told(TORCHVISION_BACKBONES))


def _told(lines: Mapping[str, str]) -> list[NamedView]:
    from search.service.views import NamedView

    return [NamedView(name=name, description=description, problem=None) for name, description in lines.items()]


@contextmanager
def _catalogue(ctx: typer.Context, server: str | None) -> Iterator[Catalogue]:
    """What there is where sweeps would run: on the server that was given, else on this machine."""
    address = server_of(ctx, None, server)
    if address is None:
        from search.service.catalogue_views import LocalCatalogue

        yield LocalCatalogue()
        return
    with client_of(address) as client:
        yield client


def _list(entries: Sequence[NamedView]) -> None:
    """One line a name; a plugin that does not load says why in its place."""
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        text = entry.description or f"cannot be used: {entry.problem}"
        say(f"{entry.name:<{width}}  {' '.join(text.split())}{_values(entry)}")


def _values(entry: NamedView) -> str:
    from search.naming import short
    from search.service.views import SupervisionView

    if not isinstance(entry, SupervisionView) or not entry.hyperparameters:
        return ""
    values = (
        f"{each.name}{'' if each.default is None else f' = {short(each.default)}'}" for each in entry.hyperparameters
    )
    return f"  [{', '.join(values)}]"
