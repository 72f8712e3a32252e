"""The display of a bench: a bar or plain lines while it runs, the table and its headlines at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from studies.bench.measure import PARTS
from studies.bench.runner import Bench
from studies.bench.summary import Summary
from studies.terminal.bar import WithBar

LINE_SECONDS = 10.0
BUSY = 0.5  # load average from which a machine is not left alone
LEGEND = (
    "Ratios are medians over rounds [smallest, largest], each of environment steps a second over the environment "
    "alone (plain gymnasium.make, random actions), measured right before and after in the same process; its own "
    "ratio shows the noise. Training takes out Gymnasium's checks, and a policy that learns resets less, which "
    "flatters it by some per cent. w4 is 4 workers. The split is of CPU time, in per cent, in one more run of the "
    "first round: env and act by subtraction (env: what so many steps cost alone, under random actions), grad "
    "(gradients), push (push and pull) and rest by clocks in the workers."
)


class BenchDisplay(WithBar):
    """A display of measurements done and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._planned = self._done = 0
        self._last_line = time.monotonic()

    def planned(self, measurements: int, left_out: Sequence[str]) -> None:
        """See :class:`~studies.bench.runner.Watcher`."""
        self._planned = measurements
        for sentence in left_out:
            _print(self._console, sentence)
        _print(self._console, f"{measurements} measurements, one after another; leave the machine alone meanwhile")
        if (load := os.getloadavg()[0]) > BUSY:
            _print(self._console, f"something else is running (load average {load:.1f}): ratios will scatter")
        if self._console.is_terminal:
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"))
            # two draws a second: more would take the processor from what is measured
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console, refresh_per_second=2)
            self._bar.add_task("bench", total=measurements, now="")
            self._bar.start()

    def measuring(self, number: int, contestant: str) -> None:
        """See :class:`~studies.bench.runner.Watcher`."""
        text = f"round {number}: {contestant}"
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], now=text)
        elif now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            _print(self._console, f"{self._done}/{self._planned}  {text}")

    def measured(self) -> None:
        """See :class:`~studies.bench.runner.Watcher`."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)


def show(bench: Bench, console: Console) -> None:
    """Print a bench's table with its legend, headlines and failures."""
    if bench.summaries:
        console.print(_table(bench.summaries))
        _print(console, LEGEND, wrap=True)
    for sentence in bench.headlines:
        _print(console, sentence, wrap=True)
    for sentence in bench.failures:
        _print(console, f"failed: {sentence}")


def _table(summaries: Sequence[Summary]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in ("steps/s", "× environment", "× SB3", "env", "act", "grad", "push", "rest"):
        table.add_column(heading, justify="right", no_wrap=True)
    group = ""
    for one in summaries:
        if (its := _group(one)) != group:
            group = its
            table.add_row()
            table.add_row(f"[bold]{group}[/bold]")
        table.add_row(*_cells(one))
    return table


def _group(one: Summary) -> str:
    changes = one.contestant.changes
    if not changes:
        return "yardsticks"
    length = changes["rollout_length"]
    return f"{'episodes' if length == 'episode' else f'{length} steps'}, {changes['schedule']}"


def _cells(one: Summary) -> list[str]:
    changes = one.contestant.changes
    name = f"{changes['engine']} w{changes['workers']}" if changes else one.contestant.name
    to_peer = "–" if one.to_peer is None else f"{one.to_peer.middle:.2f}"
    shares = [f"{100 * one.shares[part]:.0f}" if part in one.shares else "–" for part in PARTS]
    return [name, f"{one.speed:,.0f}", _plain(str(one.ratio)), to_peer, *shares]


def _plain(text: str) -> str:
    """Escape brackets, which are markup."""
    return text.replace("[", r"\[")


def _print(console: Console, text: str, wrap: bool = False) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=not wrap)
