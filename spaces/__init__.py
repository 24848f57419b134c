"""What may be searched: configurations, spaces by kind and by name, the paper's grids, and starting points."""

from spaces.configuration import Configuration
from spaces.configuration import Value
from spaces.emphasis import beta_of
from spaces.emphasis import kappa_of
from spaces.emphasis import largest_exponent
from spaces.named import default_space
from spaces.named import parse_space
from spaces.named import space_by_name
from spaces.named import space_names
from spaces.refusal import refusal
from spaces.space import AnySpace
from spaces.space import BoxSpace
from spaces.space import ContinuousSpace
from spaces.space import Dimension
from spaces.space import Extra
from spaces.space import GridSpace
from spaces.space import KappaSpace
from spaces.space import RangesSpace
from spaces.space import SearchSpace
from spaces.starting_points import starting_points
from spaces.supervisions import narrowed

__all__ = [
    "AnySpace",
    "BoxSpace",
    "Configuration",
    "ContinuousSpace",
    "Dimension",
    "Extra",
    "GridSpace",
    "KappaSpace",
    "RangesSpace",
    "SearchSpace",
    "Value",
    "beta_of",
    "default_space",
    "kappa_of",
    "largest_exponent",
    "narrowed",
    "parse_space",
    "refusal",
    "space_by_name",
    "space_names",
    "starting_points",
]
