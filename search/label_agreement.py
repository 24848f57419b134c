"""How the labels of a file agree with the data's own, and whether they look like labels of other examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

# Standard errors that count as chance.
_BY_CHANCE = 2
_NAMED_CLASSES = 5


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """Labels of a file held against the intact ones.

    Args:
        differing: Share of the labels that differ, in [0, 1].
        doubt: Why they may be in another order or number the classes otherwise, a clause; empty where they do not
            look so. Noise that is strong and asymmetric may look so too.
    """

    differing: float
    doubt: str

    @classmethod
    def of(cls, given: Tensor, intact: Tensor, num_classes: int) -> LabelAgreement:
        """Compare labels of the same examples.

        Args:
            given: Of the file, int64 (N,).
            intact: Of the data, int64 (N,).
            num_classes: C.
        """
        pairs = intact.numpy() * num_classes + given.numpy()
        counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
        total = counts.sum()
        differing = 1 - float(counts.trace() / total)
        # Of labels in any other order; (C - 1) / C where the classes are equally frequent.
        chance = 1 - float((counts.sum(0) / total) @ (counts.sum(1) / total))
        if differing >= chance - _BY_CHANCE * np.sqrt(chance * (1 - chance) / total):
            return cls(differing, f"{differing:.1%} of its labels differ from the dataset's, as in a random order")
        own = counts.diagonal()
        other = (counts - np.diag(own)).max(1)
        classes = np.flatnonzero(other - own > _BY_CHANCE * np.sqrt(other + own))
        if not len(classes):
            return cls(differing, "")
        named = ", ".join(map(str, classes[:_NAMED_CLASSES])) + (", …" if len(classes) > _NAMED_CLASSES else "")
        which = f"class {named}" if len(classes) == 1 else f"{len(classes)} of {num_classes} classes ({named})"
        return cls(differing, f"of {which} another class is the most frequent label")
