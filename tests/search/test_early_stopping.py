"""Which configurations a rule gives up, on curves whose end is known."""

from __future__ import annotations

from random import Random

import pytest

from search.early_stopping import LEAST_SEEDS_OF_WILCOXON
from search.early_stopping import EarlyStopping
from search.early_stopping import EarlyStoppingRule
from search.early_stopping import judged_epochs

EPOCHS = 12
OVER_EPOCHS: tuple[EarlyStoppingRule, ...] = ("median", "asha", "hyperband")


def train(stopping: EarlyStopping, configuration: int, final: float, repeat: int = 0) -> int:
    """Show a curve that rises to its end, as far as the rule lets it; epochs trained."""
    for epoch in range(1, EPOCHS + 1):
        stopping.see_epoch(configuration, repeat, epoch, final * epoch / EPOCHS)
        if stopping.reason(configuration, repeat) is not None:
            return epoch
    stopping.see_end(configuration, repeat, final)
    return EPOCHS


def after_eight_good_ones(rule: EarlyStoppingRule) -> EarlyStopping:
    stopping = EarlyStopping(rule, EPOCHS, 1)
    for configuration in range(8):
        train(stopping, configuration, 0.8 + configuration / 100)
    return stopping


@pytest.mark.parametrize("rule", OVER_EPOCHS)
def test_the_worst_is_given_up_and_the_best_goes_on(rule: EarlyStoppingRule) -> None:
    stopping = after_eight_good_ones(rule)

    # Hyperband lets some begin to be judged later than others.
    worst = [train(stopping, 10 + number, 0.1 + number / 100) for number in range(4)]
    assert min(worst) < EPOCHS
    assert min(worst) >= EPOCHS // 4
    assert train(stopping, 20, 0.99) == EPOCHS


@pytest.mark.parametrize("rule", OVER_EPOCHS)
def test_another_process_would_give_up_the_same(rule: EarlyStoppingRule) -> None:
    def epochs_trained() -> list[int]:
        stopping, draw = EarlyStopping(rule, EPOCHS, 1), Random(0)
        return [train(stopping, configuration, draw.random()) for configuration in range(40)]

    # Hyperband deals its brackets out by the name of a study, which by default is a random one.
    first = epochs_trained()
    assert min(first) < EPOCHS
    assert epochs_trained() == first


@pytest.mark.parametrize("rule", ["median", "asha"])
def test_nothing_is_judged_in_the_first_half_of_the_budget(rule: EarlyStoppingRule) -> None:
    assert train(after_eight_good_ones(rule), 10, 0.01) == EPOCHS // 2


@pytest.mark.parametrize(
    ("rule", "epochs", "every", "judged"),
    [
        ("asha", 60, 6, [30]),  # what it lets pass there goes on to the end: the next rung would be at 90
        ("asha", 60, 7, [35]),
        ("asha", 3, 1, [2]),
        ("median", 60, 6, [30, 36, 42, 48, 54]),
        ("median", 60, 60, []),
        ("hyperband", 20, 5, [5, 10, 15]),
        ("asha", 1, 1, []),
        ("none", 60, 6, []),
        ("wilcoxon", 60, 6, []),
    ],
)
def test_a_trial_is_judged_after_epochs_that_are_evaluated_and_of_these_where_it_can_be_stopped(
    rule: EarlyStoppingRule, epochs: int, every: int, judged: list[int]
) -> None:
    assert judged_epochs(rule, epochs, every) == judged


@pytest.mark.parametrize("rule", OVER_EPOCHS)
def test_nothing_is_given_up_after_an_epoch_that_is_not_judged(rule: EarlyStoppingRule) -> None:
    stopping = after_eight_good_ones(rule)
    ends = {train(stopping, 10 + number, 0.1 + number / 100) for number in range(8)}
    assert ends & set(range(EPOCHS))
    assert ends <= {*judged_epochs(rule, EPOCHS, 1), EPOCHS}


@pytest.mark.parametrize("rule", ["asha", "hyperband"])
def test_as_many_configurations_are_left_with_several_seeds_as_with_one(rule: EarlyStoppingRule) -> None:
    # Seeds differ: if each were to let only a share of what it sees go on, a share of a share would be left.
    random = Random(7)
    finals = [[random.uniform(0.5, 0.9) for _ in range(3)] for _ in range(30)]

    def left(repeats: int) -> int:
        stopping = EarlyStopping(rule, EPOCHS, repeats)
        for configuration, by_seed in enumerate(finals):
            for repeat in range(repeats):
                if stopping.reason(configuration, repeat) is None:
                    train(stopping, configuration, by_seed[repeat], repeat)
        return sum(stopping.reason(configuration, 0) is None for configuration in range(len(finals)))

    assert 0 < left(1) < len(finals)
    assert left(3) == left(1)


def test_without_a_rule_nothing_is_given_up() -> None:
    assert train(after_eight_good_ones("none"), 10, 0.0) == EPOCHS


@pytest.mark.parametrize("rule", OVER_EPOCHS)
def test_the_last_epoch_ends_a_trial_as_done(rule: EarlyStoppingRule) -> None:
    stopping = after_eight_good_ones(rule)
    stopping.see_epoch(10, 0, EPOCHS, 0.0)
    assert stopping.reason(10, 0) is None


@pytest.mark.parametrize("rule", [*OVER_EPOCHS, "wilcoxon"])
def test_a_budget_of_one_epoch_can_be_judged(rule: EarlyStoppingRule) -> None:
    stopping = EarlyStopping(rule, 1, 1)
    for configuration, objective in enumerate((0.9, 0.8, 0.1)):
        stopping.see_epoch(configuration, 0, 1, objective)
        stopping.see_end(configuration, 0, objective)
        assert stopping.reason(configuration, 0) is None


def test_seeds_are_compared_with_the_same_seeds_of_others() -> None:
    # The second seed is the harder one, for everybody.
    stopping = EarlyStopping("median", EPOCHS, 2)
    for configuration in range(6):
        train(stopping, configuration, 0.9 + configuration / 100, repeat=0)
        train(stopping, configuration, 0.4 + configuration / 100, repeat=1)

    assert train(stopping, 10, 0.46, repeat=1) == EPOCHS
    assert train(stopping, 11, 0.46, repeat=0) < EPOCHS
    own, other = stopping.reason(11, 0), stopping.reason(11, 1)
    assert own == "stopped early by median after epoch 6"
    assert other == f"its configuration was {own} of another seed"


def test_wilcoxon_saves_a_seed_of_as_few_as_it_takes() -> None:
    seeds = LEAST_SEEDS_OF_WILCOXON
    stopping = EarlyStopping("wilcoxon", EPOCHS, seeds)
    for repeat in range(seeds):
        stopping.see_end(0, repeat, 0.9)
    for repeat in range(seeds - 1):
        assert stopping.reason(1, repeat) is None
        stopping.see_end(1, repeat, 0.5 + repeat / 100)
    assert stopping.reason(1, seeds - 1) == f"stopped early by wilcoxon after {seeds - 1} of {seeds} seeds"


@pytest.mark.parametrize("rule", OVER_EPOCHS)
def test_what_was_let_pass_is_not_judged_anew(rule: EarlyStoppingRule) -> None:
    anew, restored = after_eight_good_ones(rule), after_eight_good_ones(rule)
    # Some of them, since Hyperband lets some pass.
    for configuration in range(10, 14):
        restored.restore_epochs(configuration, 0, [(epoch, 0.0) for epoch in range(1, EPOCHS)])
        for epoch in range(1, EPOCHS):  # again, from the checkpoint of a trial that goes on
            restored.see_epoch(configuration, 0, epoch, 0.0)
            anew.see_epoch(configuration, 0, epoch, 0.0)
    assert any(anew.reason(configuration, 0) for configuration in range(10, 14))
    assert not any(restored.reason(configuration, 0) for configuration in range(10, 14))
