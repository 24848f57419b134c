"""What the finished sweeps of a store recommend: of a kind and budget the newest that was confirmed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from search.dataset_file import dataset_file
from search.home import Home
from search.objective import ObjectiveKind
from search.objective import SearchObjective
from search.owner import state_now
from search.recommendation import Recommendation
from search.recommendation import choose
from search.recommendation import dataset_names
from search.recommendation import noise_model_of
from search.recommendation import source_of
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store.repository import NOISE_RATE_TOLERANCE
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# What a message can name of the record without being a list of it.
_LISTED_SWEEPS, _LISTED_KINDS = 5, 20


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
    asked = _Asked(dataset, noise_rate, backbone, supervision, noise_model, objective)
    found = _newest_of_each_kind(store, asked)
    if not found:
        raise _nothing_found(store, asked)
    return list(found.values())


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which sweeps are asked for, as `recommendations` takes it; None is any."""

    dataset: str | None = None
    noise_rate: float | None = None
    backbone: str | None = None
    supervision: str | None = None
    noise_model: str | None = None
    objective: str | None = None

    def matches(self, sweep: SweepRecord) -> bool:
        """Whether a sweep is one of them."""
        return (
            (self.dataset is None or _is_dataset(sweep, self.dataset))
            and (self.noise_rate is None or abs(sweep.noise_rate - self.noise_rate) <= NOISE_RATE_TOLERANCE)
            and self.backbone in (None, sweep.backbone)
            and self.supervision in (None, sweep.supervision)
            and self.noise_model in (None, noise_model_of(sweep))
            and self.objective in (None, _guide(sweep))
        )


class _Kind(NamedTuple):
    """What a sweep's recommendation holds for, in the order of an export."""

    dataset: str
    noise_rate: float
    noise: tuple[str, ...]
    backbone: str
    supervision: str
    objective: str
    source: str
    budget: tuple[float, int, int]

    @staticmethod
    def of(sweep: SweepRecord) -> _Kind:
        """The kind of a sweep."""
        return _Kind(
            sweep.dataset,
            round(sweep.noise_rate, 9),
            (noise_model_of(sweep), *(str(sweep.spec.get(name) or "") for name in ("noise_file", "noise_column"))),
            sweep.backbone,
            sweep.supervision,
            _guide(sweep),
            # Two files of one name are two datasets.
            source_of(sweep),
            _budget(sweep),
        )

    def shown(self, dataset: str) -> str:
        """It in a few words, without noise model and objective where they are the usual ones.

        Args:
            dataset: How the dataset is called.
        """
        noise = "" if self.noise[0] == "symmetric" else f" ({self.noise[0]})"
        guide = "" if self.objective == ObjectiveKind.INTACT else f", guided by {self.objective}"
        return f"{dataset} at noise_rate {self.noise_rate:g}{noise} with {self.backbone}: {self.supervision}{guide}"


def _newest_of_each_kind(store: Store, asked: _Asked) -> dict[_Kind, Recommendation]:
    """What is recommended for each kind of sweep, in the order of an export."""
    found: dict[_Kind, Recommendation] = {}
    for sweep in _newest_first(store.sweeps(state=SweepState.DONE)):
        if not asked.matches(sweep):
            continue
        kind = _Kind.of(sweep)
        if kind in found and found[kind].provenance.confirmed:
            continue
        try:
            recommendation = choose(sweep, store.trials(sweep.id))
        except InvalidInput:  # it was deleted meanwhile
            continue
        if recommendation is not None and (kind not in found or recommendation.provenance.confirmed):
            found[kind] = recommendation
    return {kind: found[kind] for kind in sorted(found)}


def _guide(sweep: SweepRecord) -> str:
    return SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts).kind.value


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


def _nothing_found(store: Store, asked: _Asked) -> InvalidInput:
    given = {field: value for field, value in asdict(asked).items() if value is not None}
    if len(given) > 1:
        given.pop("supervision", None)  # which the problem names
    matching = [sweep for sweep in store.sweeps() if asked.matches(sweep)]
    unfinished = [f"{sweep.id} ({state_now(sweep).value})" for sweep in matching if sweep.state is not SweepState.DONE]
    fruitless = [sweep.id for sweep in matching if sweep.state is SweepState.DONE]
    found = _newest_of_each_kind(store, _Asked())
    names = dataset_names(list(found.values()))
    there_is = list(dict.fromkeys(kind.shown(name) for kind, name in zip(found, names, strict=True)))
    remedies = []
    if unfinished:
        listed = ", ".join(unfinished[:_LISTED_SWEEPS])
        remedies.append(f"Not finished yet: {listed}; `emphasis resume SWEEP` completes one that has stopped.")
    if fruitless:
        listed = ", ".join(fruitless[:_LISTED_SWEEPS])
        remedies.append(f"Finished without a recommendation: {listed}; `emphasis show SWEEP` tells why.")
    if there_is:
        more = len(there_is) - _LISTED_KINDS
        remedies.append(
            f"There is: {'; '.join(there_is[:_LISTED_KINDS])}" + (f"; and {more} more." if more > 0 else ".")
        )
    if not remedies:
        start = "`emphasis run --dataset NAME --noise-rate R`"
        remedies.append(f"Nothing is recommended here yet; start a sweep with {start}.")
    searching = f"of {asked.supervision} " if asked.supervision is not None else ""
    problem = f"no finished sweep {searching}recommends anything for it"
    return InvalidInput(FieldError(", ".join(given) or "dataset", _shown(given), problem, " ".join(remedies)))


def _shown(given: Mapping[str, object]) -> object:
    return next(iter(given.values())) if len(given) == 1 else tuple(given.values()) or None
