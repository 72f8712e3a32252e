"""It learns: the default preset solves the task it was tuned on."""

from a3c import TrainConfig, train

THRESHOLD = 475
SEEDS = range(5)
MAJORITY = len(SEEDS) // 2 + 1


def test_the_median_of_five_default_runs_with_max_terms_solves_cartpole():
    """Stops once three runs have settled which side the median is on."""
    returns = []
    for seed in SEEDS:
        result = train(TrainConfig.preset("default", target="max_terms", seed=seed))
        returns.append(result.metrics["final_return"])
        above = sum(final > THRESHOLD for final in returns)
        if MAJORITY in (above, len(returns) - above):
            break
    assert above == MAJORITY, returns
