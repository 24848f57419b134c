"""Configurations worth trying first: the paper's best at the nearest noise rate and number of classes.

Source: Wang et al., arXiv 1905.11233 (first version), Tables 2, 3, 4 and 7.
"""

from __future__ import annotations

import math

from spaces.configuration import Configuration
from spaces.refusal import refusal

# Table 3 (CIFAR-10, ResNet-56), best final accuracy on the intact training labels first; Table 2 for clean
# labels. lam = 0 is left out under noise: of the settings that train it is the last at every rate.
# r = 0.4: (20, 2) fell to 53.6% there, so lam = 2 is tried with r = 0.2's beta.
# r = 0.0: Table 2 knows (2, 0) only; the two after it are the best at the next rate.
# r = 0.6 has room for (16, 1), the best at the next lower rate.
_TEN_CLASSES: dict[float, tuple[tuple[float, float], ...]] = {
    0.0: ((2.0, 0.0), (12.0, 0.5), (16.0, 1.0)),
    0.2: ((12.0, 0.5), (16.0, 1.0), (24.0, 2.0)),
    0.4: ((16.0, 1.0), (12.0, 0.5), (24.0, 2.0)),
    0.6: ((12.0, 2.0), (12.0, 1.0), (12.0, 0.5), (16.0, 1.0)),
    0.8: ((12.0, 2.0), (8.0, 1.0), (8.0, 0.5)),
}

# Tables 4 and 7 (CIFAR-100, ResNet-44), best test accuracy first: the only one these tables print.
_HUNDRED_CLASSES: dict[float, tuple[tuple[float, float], ...]] = {
    0.0: ((2.0, 0.0), (6.0, 0.3), (6.0, 0.4)),
    0.2: ((6.0, 0.3), (6.0, 0.4), (4.0, 0.2), (8.0, 0.5)),
    0.4: ((6.0, 0.4), (8.0, 0.5), (6.0, 0.3)),
    0.6: ((8.0, 0.5), (6.0, 0.4), (6.0, 0.3)),
}


def starting_points(noise_rate: float, num_classes: int) -> list[Configuration]:
    """Return three or four GR configurations to try first, the most promising first.

    Args:
        noise_rate: Probability that a label is wrong, in [0, 1). Halfway between two of the paper's rates
            the lower counts.
        num_classes: Number of classes, >= 2. Nearest means nearest in ratio: 31 is nearer to 10, 32 to 100.

    Raises:
        ValueError: a noise rate outside [0, 1), or fewer than two classes.

    Example:
        >>> [point.key for point in starting_points(0.2, 10)]
        ['gr(beta=12, lam=0.5)', 'gr(beta=16, lam=1)', 'gr(beta=24, lam=2)']
    """
    if not 0.0 <= noise_rate < 1.0:
        raise refusal(
            "noise_rate", noise_rate, "is outside [0, 1)", "Give a share of wrong labels, e.g. 0.4."
        )
    if num_classes < 2:
        raise refusal("num_classes", num_classes, "is no classification", "Give two classes or more.")
    nearer_to_ten = math.log(num_classes) - math.log(10) < math.log(100) - math.log(num_classes)
    table = _TEN_CLASSES if nearer_to_ten else _HUNDRED_CLASSES
    # Rounded, because 0.3 is not halfway between 0.2 and 0.4 in binary.
    nearest = min(table, key=lambda rate: (round(abs(rate - noise_rate), 9), rate))
    return [Configuration.of("gr", beta=beta, lam=lam) for beta, lam in table[nearest]]
