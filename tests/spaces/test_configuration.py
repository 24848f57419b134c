import json
import math

import pytest

from spaces import Configuration


def test_order_of_hyperparameters_does_not_matter() -> None:
    one = Configuration("gr", (("lam", 0.5), ("beta", 12)))
    other = Configuration.of("gr", beta=12.0, lam=0.5)
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key == "gr(beta=12, lam=0.5)"


def test_key_tells_apart_what_differs_in_the_last_digit() -> None:
    close = [Configuration.of("gr", beta=1.0, lam=lam) for lam in (0.1, math.nextafter(0.1, 1))]
    assert close[0].key != close[1].key


def test_negative_zero_is_zero() -> None:
    assert Configuration.of("gr", beta=-0.0, lam=0).key == "gr(beta=0, lam=0)"


def test_supervision_without_hyperparameters_is_its_own_key() -> None:
    assert str(Configuration("cce")) == "cce"


def test_json_round_trip() -> None:
    configuration = Configuration.of("gr", beta=11.3921, lam=0.1)
    assert Configuration.from_json(json.loads(json.dumps(configuration.as_json()))) == configuration


def test_a_value_may_be_a_word_and_the_key_tells_it_from_a_number() -> None:
    assert Configuration.of("forward", matrix="estimated").key == "forward(matrix=estimated)"
    assert Configuration.of("forward", matrix="8").key != Configuration.of("forward", matrix=8).key
    awkward = [Configuration.of("forward", matrix="a, b=1"), Configuration.of("forward", matrix="a", b=1)]
    assert awkward[0].key != awkward[1].key
    stored = Configuration.from_json(json.loads(json.dumps(awkward[0].as_json())))
    assert stored == awkward[0]


def test_a_text_that_is_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="is no short text"):
        Configuration.of("forward", matrix="x" * 2000)


def test_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beta = nan: is not a finite number"):
        Configuration.of("gr", beta=math.nan, lam=0)


def test_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beta = 1.0: is given twice"):
        Configuration("gr", (("beta", 1.0), ("beta", 2.0)))
