"""The A/A check: the rate at which the whole procedure calls equal arms different, on a study's own runs.

The unit is a whole study, with all its primary comparisons, its looks and its correction. It errs if any comparison
comes out DIFFERENT. Two ways make studies without a difference out of recorded runs:

- ``redraw``: for each comparison, 2·n_max runs are drawn with replacement from one arm of its cell, paired at random;
- ``swap``: in each real pair, candidate and baseline change places with probability one half.

What either finds stands in the report beside what was declared. That the lower end of its interval lies above α would
be evidence that this procedure errs too often on scores such as these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

from harness.errors import BadInput, Problem
from harness.record.json_file import read_as, write_json
from harness.record.study import Study
from reports.comparison.cells import compare_cells
from reports.comparison.evidence import declared_rules, gather
from reports.data.pairs import by_key, compared_values
from reports.statistics.decisions import DIFFERENT, Grounds, Rules, decide, stacked_grounds
from reports.statistics.intervals import MIN_PAIRS, MIN_VERDICT_PAIRS, clopper_pearson
from reports.statistics.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CALIBRATION_FILE = "calibration.json"
RATE_LEVEL = 0.95
_STUDIES_AT_ONCE = 500

Method = Literal["redraw", "swap"]


@dataclass(frozen=True)
class FalseRate:
    """The rate at which studies without a difference came out with one.

    Attributes:
        method: how they were made.
        comparisons: primary comparisons in each.
        n_max: the most pairs a comparison could have.
        replicates: studies made.
        false_different: how many had at least one comparison DIFFERENT.
        low: lower end of the rate's 95 % interval (Clopper and Pearson).
        high: upper end of it.
    """

    method: Method
    comparisons: int
    n_max: int
    replicates: int
    false_different: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share of studies that erred."""
        return self.false_different / self.replicates


@dataclass(frozen=True)
class Calibration:
    """The A/A check of a study.

    Attributes:
        alpha: the share of studies that may err, as declared.
        looks: pairs at each look.
        runs: recorded runs that it was made from.
        seed: of the draws.
        rates: what was found, by each method that the study has the runs for.
    """

    alpha: float
    looks: tuple[int, ...]
    runs: int
    seed: int
    rates: tuple[FalseRate, ...]

    @property
    def too_often(self) -> bool:
        """Whether a rate's interval lies wholly above α."""
        return any(rate.low > self.alpha for rate in self.rates)


_CALIBRATION = TypeAdapter(Calibration)


def calibrate(study: Study, replicates: int = 2000, seed: int = 0) -> Calibration:
    """Run the procedure on studies without a difference, made of this one's runs.

    Args:
        study: with runs of any outcome; lost ones count as they do in its own verdicts.
        replicates: studies made by each method, at least 1.
        seed: of the draws; the same seed and runs give the same answer.

    Raises:
        BadInput: if the study plans too few pairs for a verdict, or has too few runs to draw from.
    """
    import numpy as np

    rules = declared_rules(study)
    if rules.looks[-1] < MIN_VERDICT_PAIRS:
        allowed = f"must be {MIN_VERDICT_PAIRS} or more: with fewer pairs there are no verdicts to check"
        raise BadInput([Problem("seeds", rules.looks[-1], allowed)])
    pools, differences = _pools(study), _differences(study)
    if not pools:
        allowed = f"must hold an arm of a primary cell with {MIN_PAIRS} or more finished runs to draw from"
        raise BadInput([Problem("study", study.spec.name, allowed)])
    streams = [np.random.default_rng([seed, method]) for method in range(2)]
    rates = [_rate("redraw", _redrawn(pools, rules, replicates, streams[0]), rules, len(pools), rules.looks[-1])]
    if differences:
        longest = max(look for look in rules.looks if look <= max(map(len, differences)))
        rates.append(
            _rate("swap", _swapped(differences, rules, replicates, streams[1]), rules, len(differences), longest)
        )
    runs = len(study.records)
    return Calibration(rules.alpha, rules.looks, runs, seed, tuple(rates))


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write an A/A check into its study's folder; return the file."""
    path = folder / CALIBRATION_FILE
    write_json(path, asdict(calibration))
    return path


def read_calibration(folder: Path) -> Calibration | None:
    """Read the A/A check in a study's folder; None where there is none.

    Raises:
        DamagedRecord: if it cannot be read.
    """
    path = folder / CALIBRATION_FILE
    return read_as(path, _CALIBRATION) if path.is_file() else None


def _primary(study: Study) -> list[tuple[str, str]]:
    """Return (cell, candidate) of the comparisons that are judged; of all primary ones if none is."""
    primary = [comparison for comparison in compare_cells(study) if comparison.cell.primary]
    judged = [comparison for comparison in primary if comparison.verdict is not Verdict.VACUOUS]
    return [(comparison.cell.id, comparison.candidate) for comparison in judged or primary]


def _pools(study: Study) -> list[list[Floats]]:
    """Return for each comparison the values its arms' runs count as, an array an arm with enough of them."""
    import numpy as np

    found: dict[tuple[str, str], list[float]] = {}
    for (cell, arm, _), value in compared_values(study).items():
        found.setdefault((cell, arm), []).append(value)
    finished = Counter((cell, arm) for cell, arm, _ in by_key(study))
    pools = []
    for cell, candidate in _primary(study):
        arms = [(cell, arm) for arm in (study.arms[0], candidate) if finished[cell, arm] >= MIN_PAIRS]
        pools.append([np.array(found[arm]) for arm in arms if len(found.get(arm, ())) >= MIN_PAIRS])
    return [pool for pool in pools if pool]


def _differences(study: Study) -> list[Floats]:
    """Return the real paired differences of each comparison that reaches a look with a verdict."""
    import numpy as np

    first = min(look for look in declared_rules(study).looks if look >= MIN_VERDICT_PAIRS)
    gathered = gather(study)
    found = [np.array([pair.difference for pair in gathered[key].pairs]) for key in _primary(study)]
    return [differences for differences in found if len(differences) >= first]


def _redrawn(
    pools: Sequence[Sequence[Floats]], rules: Rules, replicates: int, stream: np.random.Generator
) -> Iterator[list[Floats]]:
    """Yield the differences of studies, a block of them at a time: for each comparison [block, n_max]."""
    import numpy as np

    for block in _blocks(replicates):
        shape = (block, 2, rules.looks[-1])
        differences = []
        for arms in pools:
            drawn = np.stack([values[stream.integers(len(values), size=shape)] for values in arms])
            one = drawn[stream.integers(len(arms), size=block), np.arange(block)]
            differences.append(one[:, 0] - one[:, 1])
        yield differences


def _swapped(
    pairs: Sequence[Floats], rules: Rules, replicates: int, stream: np.random.Generator
) -> Iterator[list[Floats]]:
    """Yield the differences of studies, a block of them at a time: for each comparison [block, its pairs]."""
    for block in _blocks(replicates):
        yield [
            one * stream.choice([-1.0, 1.0], size=(block, len(one))) for one in (d[: rules.looks[-1]] for d in pairs)
        ]


def _blocks(replicates: int) -> Iterator[int]:
    for start in range(0, replicates, _STUDIES_AT_ONCE):
        yield min(_STUDIES_AT_ONCE, replicates - start)


def _rate(method: Method, studies: Iterator[list[Floats]], rules: Rules, comparisons: int, n_max: int) -> FalseRate:
    """Judge studies and count those that err."""
    import numpy as np

    erred = replicates = 0
    for differences in studies:
        each = [stacked_grounds(one[:, None], rules) for one in differences]
        fields = ("different", "above", "below", "guarded")
        family = Grounds(*(np.concatenate([getattr(one, name) for one in each], axis=-1) for name in fields))
        wrong = (decide(family, rules).verdict == DIFFERENT).any(-1)
        erred, replicates = erred + int(wrong.sum()), replicates + len(wrong)
    low, high = clopper_pearson(erred, replicates, RATE_LEVEL)
    return FalseRate(method, comparisons, n_max, replicates, erred, low, high)
