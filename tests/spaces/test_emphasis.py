import math

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from spaces import Configuration
from spaces import KappaSpace
from spaces import beta_of
from spaces import kappa_of
from spaces import largest_exponent


@settings(deadline=None)
@given(beta=st.floats(0, 1e6), lam=st.floats(0, 1e4))
def test_beta_survives_the_way_to_kappa_and_back(beta: float, lam: float) -> None:
    assert beta_of(kappa_of(beta, lam), lam) == pytest.approx(beta, rel=1e-12, abs=1e-300)


@settings(deadline=None)
@given(lam=st.floats(0, 50))
def test_largest_exponent_is_the_maximum_of_the_exponent_curve(lam: float) -> None:
    focus = lam / (1 + lam)
    at_focus = focus**lam * (1 - focus)
    assert largest_exponent(lam) == pytest.approx(at_focus, rel=1e-9)
    steps = [i / 200 for i in range(201)]
    assert all(p**lam * (1 - p) <= largest_exponent(lam) * (1 + 1e-12) for p in steps)


@pytest.mark.parametrize(
    ("beta", "lam", "kappa"),
    [(12, 0.5, 4.6), (16, 1, 4.0), (24, 2, 3.6), (6, 0.3, 3.0), (6, 0.4, 2.6), (8, 0.5, 3.1), (2, 0, 2.0)],
)
def test_kappa_of_the_papers_settings(beta: float, lam: float, kappa: float) -> None:
    assert kappa_of(beta, lam) == pytest.approx(kappa, abs=0.05)


def test_extreme_lam_gives_finite_numbers() -> None:
    for lam in (5e-324, 1e-300, 1e-8, 1e8, 1e300):
        assert 0.0 < largest_exponent(lam) <= 1.0
    assert largest_exponent(1e12) == pytest.approx(math.exp(-1) / 1e12, rel=1e-6)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_number_that_is_no_magnitude_is_refused_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match=r"lam = .*Give lam as a number from 0"):
        largest_exponent(bad)
    with pytest.raises(ValueError, match=r"beta = .*Give beta as a number from 0"):
        kappa_of(bad, 1.0)
    with pytest.raises(ValueError, match=r"kappa = .*Give kappa as a number from 0"):
        beta_of(bad, 1.0)


@settings(deadline=None)
@given(lam=st.floats(0, 3), kappa=st.floats(0, 6))
def test_every_sampled_point_comes_back_to_its_coordinates_and_stays(lam: float, kappa: float) -> None:
    space = KappaSpace()
    configuration = space.configuration({"lam": lam, "kappa": kappa})
    params = space.params(configuration)
    assert params is not None
    assert params["lam"] == pytest.approx(lam, rel=1e-5)
    assert params["kappa"] == pytest.approx(kappa, rel=1e-5)
    again = space.configuration(params).as_dict()
    assert again == pytest.approx(configuration.as_dict(), rel=1e-5)


@settings(deadline=None)
@given(beta=st.integers(0, 24), lam=st.sampled_from([0.3, 0.4, 0.5, 1, 2, 3]))
def test_round_numbers_come_back_as_round_numbers(beta: int, lam: float) -> None:
    space = KappaSpace(kappa=(0, 30))
    configuration = Configuration.of("gr", beta=beta, lam=lam)
    params = space.params(configuration)
    assert params is not None
    assert space.configuration(params) == configuration
