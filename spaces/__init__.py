"""What may be searched: configurations, spaces, the paper's grids, and starting points."""

from spaces.configuration import HYPERPARAMETERS
from spaces.configuration import Configuration
from spaces.emphasis import beta_of
from spaces.emphasis import kappa_of
from spaces.emphasis import largest_exponent
from spaces.paper import parse_space
from spaces.paper import space_by_name
from spaces.paper import space_names
from spaces.refusal import refusal
from spaces.space import AnySpace
from spaces.space import BoxSpace
from spaces.space import ContinuousSpace
from spaces.space import Extra
from spaces.space import GridSpace
from spaces.space import KappaSpace
from spaces.space import SearchSpace
from spaces.starting_points import starting_points

__all__ = [
    "HYPERPARAMETERS",
    "AnySpace",
    "BoxSpace",
    "Configuration",
    "ContinuousSpace",
    "Extra",
    "GridSpace",
    "KappaSpace",
    "SearchSpace",
    "beta_of",
    "kappa_of",
    "largest_exponent",
    "parse_space",
    "refusal",
    "space_by_name",
    "space_names",
    "starting_points",
]
