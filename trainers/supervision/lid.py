"""Local intrinsic dimensionality: how many directions the features around an example spread in."""

from __future__ import annotations

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput

# Of a neighbour's distance to that of the k-th: a duplicate would make the logarithm infinite. From the released
# code, which adds it to every ratio and so moves all of them; a floor leaves the others exact.
_SMALLEST_RATIO = 1e-8


def local_intrinsic_dimensionality(features: Tensor, k: int = 20) -> Tensor:
    """Maximum-likelihood estimate for every example, from its neighbours among the others of the batch.

    LID(x) = -((1/k) sum_i log(d_i / d_k))^-1, with d_1 <= ... <= d_k the Euclidean distances to the k nearest.

    Args:
        features: Shape (n, F) with n >= 2, floating; half types are computed in float32.
        k: Number of neighbours, >= 1; n - 1 where the batch has no more.

    Returns:
        Shape (n,), float32, or float64 for float64 features. 0 where all k neighbours are duplicates of the
        example (a point has no dimension), infinite where they are all equally far (what the formula gives).

    Raises:
        InvalidInput: A shape, a type or k is not as above.

    Source: Amsaleg et al., KDD 2015; Ma et al., ICML 2018, Eq. 3.
    """
    errors = []
    if features.dim() != 2 or features.shape[0] < 2 or not features.is_floating_point():
        errors.append(
            FieldError(
                "features",
                f"{features.dtype} of shape {tuple(features.shape)}",
                "not a batch of features",
                "Give floating-point features of shape (n, F) with n >= 2 examples.",
            )
        )
    if k < 1:
        errors.append(FieldError("k", k, "no neighbour at all", "Give k >= 1; the authors use 20."))
    if errors:
        raise InvalidInput(*errors)
    points = features if features.dtype == torch.float64 else features.float()
    # By differences: the matrix product that is faster loses the small distances, which matter most here.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    nearest = distances.topk(min(k, len(points) - 1), dim=1, largest=False, sorted=True).values
    furthest = nearest[:, -1:]
    ratios = (nearest / furthest).clamp(min=_SMALLEST_RATIO)
    # abs: where all are equally far, -1 / 0.0 would be minus infinity.
    dimensionality = (-1 / ratios.log().mean(dim=1)).abs()
    return torch.where(furthest.squeeze(1) > 0, dimensionality, 0.0)
