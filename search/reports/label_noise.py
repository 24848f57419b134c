"""The labels that a sweep's search was trained on, beside the intact ones: a figure and its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.reports.confusion_matrix import confusion_figure
from search.reports.figure_file import save_figure
from search.store import Phase
from search.store import Store
from trainers.whole_files import replaced_whole

if TYPE_CHECKING:
    from search.task import PreparedTask

FIGURE = "label_noise.png"
NUMBERS = "label_noise.csv"


def write_label_noise(store: Store, sweep_id: str, prepared: PreparedTask, folder: Path) -> None:
    """Write the confusion matrix of the search's labels; nothing where nobody knows the intact ones.

    Args:
        store: Where the sweep is recorded.
        sweep_id: The sweep.
        prepared: Its data.
        folder: Of its figures.
    """
    intact = prepared.whole.intact_train
    seeds = [trial.noise_seed for trial in store.trials(sweep_id) if trial.phase is Phase.SEARCH]
    if intact is None or not seeds:
        return
    sweep = store.sweep(sweep_id)
    labels = prepared.labels(sweep.noise_rate, seeds[0])
    counts = labels.confusion_matrix(intact).numpy()
    title = f"{sweep.dataset}: labels by noise model {prepared.settings.noise_model}, noise rate {sweep.noise_rate:g}"
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(confusion_figure(counts, title, prepared.whole.class_names), folder / FIGURE)
    with replaced_whole(folder / NUMBERS) as file:
        np.savetxt(file, counts, fmt="%d", delimiter=",")
