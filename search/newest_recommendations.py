"""What the finished sweeps of a store recommend: of a kind and budget the newest that was confirmed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.dataset_file import dataset_file
from search.home import Home
from search.objective import SearchObjective
from search.owner import state_now
from search.recommendation import Recommendation
from search.recommendation import choose
from search.recommendation import noise_model_of
from search.recommendation import source_of
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store.repository import NOISE_RATE_TOLERANCE
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def recommendations(
    store: Store,
    dataset: str | None = None,
    noise_rate: float | None = None,
    backbone: str | None = None,
    supervision: str | None = None,
    noise_model: str | None = None,
    objective: str | None = None,
) -> list[Recommendation]:
    """One recommendation for each dataset, noise, backbone, supervision, objective and budget.

    Of the newest finished sweep that confirmed its best on fresh seeds; where none did, of the newest. What is best
    depends on how long is trained, and on how much: a short trial run replaces nothing.

    Args:
        store: Where the sweeps are.
        dataset: Only this dataset, by name. Of a ``.npz`` file its path; its name alone, where no such file lies in
            the present folder, means every file of that name.
        noise_rate: Only this nominal noise rate.
        backbone: Only this backbone.
        supervision: Only this supervision.
        noise_model: Only this noise model.
        objective: Only sweeps that this guided: ``intact``, ``clean_validation`` or ``noisy_validation``.

    Returns:
        At least one recommendation, ordered by dataset, noise rate, noise model, backbone, supervision, objective and
        budget, the largest first.

    Raises:
        InvalidInput: There is none; the message names what there is.
    """
    found: dict[tuple[Any, ...], Recommendation] = {}
    for sweep in _newest_first(store.sweeps(state=SweepState.DONE)):
        if not _matches(sweep, dataset, noise_rate, backbone, supervision):
            continue
        guide = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts).kind.value
        if noise_model not in (None, noise_model_of(sweep)) or objective not in (None, guide):
            continue
        # Two files of one name are two datasets.
        rate, source = round(sweep.noise_rate, 9), source_of(sweep)
        noise = (noise_model_of(sweep), *(str(sweep.spec.get(name) or "") for name in ("noise_file", "noise_column")))
        group = (sweep.dataset, rate, noise, sweep.backbone, sweep.supervision, guide, source, _budget(sweep))
        if group in found and found[group].provenance.confirmed:
            continue
        try:
            recommendation = choose(sweep, store.trials(sweep.id))
        except InvalidInput:  # it was deleted meanwhile
            continue
        if recommendation is not None and (group not in found or recommendation.provenance.confirmed):
            found[group] = recommendation
    if not found:
        raise _nothing_found(store.sweeps(), dataset, noise_rate, backbone, supervision)
    return [found[group] for group in sorted(found)]


def recommend(
    dataset: str,
    noise_rate: float,
    *,
    home: Path | str | None = None,
    backbone: str | None = None,
    supervision: str = "gr",
    noise_model: str | None = None,
    objective: str | None = None,
) -> Recommendation:
    """What to use for a dataset at a noise rate: (beta, lambda) of GR, or another's.

    From the sweeps that confirmed their best on fresh seeds; where none did, from those that are done. Of these the one
    that trained on the most examples, the most epochs, and of equals the newest.

    Example:
        >>> found = recommend("digits", 0.4)  # doctest: +SKIP
        >>> GradientRescaling(beta=found.recommended.beta, lam=found.recommended.lam)  # doctest: +SKIP

    Args:
        dataset: Name of the dataset, or path of a ``.npz`` file, as `recommendations` takes it.
        noise_rate: Nominal noise rate, in [0, 1).
        home: Home folder; by default ``EMPHASIS_HOME``, else ``.emphasis`` in the user's home directory.
        backbone: Network; by default whichever that sweep used.
        supervision: What was searched.
        noise_model: Of the sweep; by default whichever that sweep used.
        objective: What guided it; by default likewise.

    Raises:
        InvalidInput: No finished sweep answers it; the message names what there is.
    """
    store = Store.open(Home.resolve(home).store_url)
    try:
        found = recommendations(store, dataset, noise_rate, backbone, supervision, noise_model, objective)
        newest = {
            sweep.id: age for age, sweep in enumerate(_newest_first(store.sweeps(state=SweepState.DONE)))
        }
    finally:
        store.close()

    def order(each: Recommendation) -> tuple[bool, float, int, int]:
        told = each.provenance
        return not told.confirmed, -(told.limit_train or math.inf), -told.epochs, newest[told.sweep_id]

    return min(found, key=order)


def _budget(sweep: SweepRecord) -> tuple[float, int, int]:
    """How much is trained; the most sorts first."""
    training = sweep.spec.get("training") or {}
    epochs, iterations = training.get("epochs") or 0, training.get("iterations") or 0
    return -(sweep.spec.get("limit_train") or math.inf), -epochs, -iterations


def _is_dataset(sweep: SweepRecord, dataset: str) -> bool:
    file = dataset_file(dataset)
    return sweep.dataset == dataset if file is None else source_of(sweep) == file


def _newest_first(sweeps: Iterable[SweepRecord]) -> list[SweepRecord]:
    return sorted(sweeps, key=lambda sweep: (sweep.finished_at or sweep.created_at, sweep.id), reverse=True)


def _matches(
    sweep: SweepRecord,
    dataset: str | None,
    noise_rate: float | None,
    backbone: str | None,
    supervision: str | None,
) -> bool:
    return (
        (dataset is None or _is_dataset(sweep, dataset))
        and (noise_rate is None or abs(sweep.noise_rate - noise_rate) <= NOISE_RATE_TOLERANCE)
        and (backbone is None or sweep.backbone == backbone)
        and (supervision is None or sweep.supervision == supervision)
    )


def _nothing_found(
    sweeps: Sequence[SweepRecord],
    dataset: str | None,
    noise_rate: float | None,
    backbone: str | None,
    supervision: str | None,
) -> InvalidInput:
    wanted = {"dataset": dataset, "noise_rate": noise_rate, "backbone": backbone}
    given = {field: value for field, value in wanted.items() if value is not None}
    if not given and supervision is not None:
        given = {"supervision": supervision}
    unfinished = [
        sweep
        for sweep in sweeps
        if sweep.state is not SweepState.DONE and _matches(sweep, dataset, noise_rate, backbone, supervision)
    ]
    finished = sorted(
        {(s.dataset, s.noise_rate, s.backbone, s.supervision) for s in sweeps if s.state is SweepState.DONE},
    )
    remedy = ""
    if unfinished:
        listed = ", ".join(f"{sweep.id} ({state_now(sweep).value})" for sweep in unfinished[:5])
        remedy = f"Not finished yet: {listed}; `emphasis resume SWEEP` completes one that has stopped. "
    if finished:
        remedy += "There is: " + "; ".join(
            f"{name} at noise_rate {rate:g} with {network}: {searched}"
            for name, rate, network, searched in finished[:20]
        )
        remedy += f"; and {len(finished) - 20} more." if len(finished) > 20 else "."
    elif not unfinished:
        remedy = "There are no finished sweeps here; start one with `emphasis run --dataset NAME --noise-rate R`."
    searching = f"of {supervision} " if supervision is not None else ""
    problem = f"no finished sweep {searching}recommends anything for it"
    field = next(iter(given), "dataset")
    return InvalidInput(FieldError(", ".join(given) or field, _shown(given), problem, remedy.strip()))


def _shown(given: Mapping[str, object]) -> object:
    return next(iter(given.values())) if len(given) == 1 else tuple(given.values()) or None
