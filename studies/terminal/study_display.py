"""The display of a study while it runs: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from harness.commands.observer import Observer
from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.study.design import Alias, Design, PlannedRun
from reports.text import count, show
from studies.terminal.bar import WithBar

LINE_SECONDS = 10.0
LONGEST = 2000  # letters of a line


class StudyDisplay(WithBar, Observer):
    """A display of runs done, runs a minute and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._planned = self._done = self._first = self._failures = 0
        self._running: dict[str, float] = {}
        self._began = self._last_line = time.monotonic()

    def planned(self, design: Design, total: int, done: int, slots: int) -> None:
        """See :class:`Observer`."""
        self._planned, self._done, self._first = total, done, done
        self._print(
            f"{design.spec.name}: {self._planned} runs{design_in_words(design)}, "
            + (f"{done} done before, " if done else "")
            + f"{slots} at a time"
        )
        for alias in design.aliases:
            self._print(alias_in_words(alias))
        if done == self._planned:
            self._print("nothing to do: every run is finished")
        elif self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]}"),
                console=self._console,
            )
            self._bar.add_task("runs", total=self._planned, completed=done, pace="")
            self._bar.start()

    def extended(self, total: int, runs: int, why: str) -> None:
        """See :class:`Observer`."""
        self._planned = total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total)
        self._print(f"{why}: {runs} runs")

    def preparing(self, what: str) -> None:
        """See :class:`Observer`."""
        self._print(f"{what} …")

    def warned(self, what: str) -> None:
        """See :class:`Observer`."""
        self._print(f"warning: {what}")

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`Observer`."""
        if not self._running and self._done == self._first:
            self._began = time.monotonic()  # pace counts from the first run, not from the imports before it
        self._running[run.id] = 0.0

    def advanced(self, run: str, fraction: float) -> None:
        """See :class:`Observer`."""
        self._running[run] = fraction
        self._show()

    def finished(self, record: RunRecord) -> None:
        """See :class:`Observer`."""
        self._running.pop(record.run, None)
        self._done += 1
        if record.outcome == "diverged":
            self._print(f"{record.run}: diverged")
        self._show(last=self._done + self._failures == self._planned)

    def failed(self, failure: Failure, will_retry: bool) -> None:
        """See :class:`Observer`."""
        self._running.pop(failure.run, None)
        self._failures += not will_retry
        self._print(f"{failure.run}: {show(failure.reason, 500)}" + (", trying again" if will_retry else ""))

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        complete = self._done - self._first + sum(self._running.values())
        pace = complete / max(1e-9, now - self._began)
        left = self._planned - self._failures - self._first - complete
        text = f"{60 * pace:.1f} runs/min, {_duration(left / pace)} left" if complete >= 0.1 else "starting"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._first + complete, pace=text)
        elif last or now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._print(f"{self._done}/{self._planned} runs, {text}")

    def _print(self, text: str) -> None:
        self._console.print(show(text, LONGEST), highlight=False, markup=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def alias_in_words(alias: Alias) -> str:
    """Return the line about levels whose runs would be those of another cell."""
    levels = ", ".join(f"{show(name)}={show(value)}" for name, value in alias.levels.items())
    return f"  {levels} comes to the same as {alias.cell}: kept once"


def design_in_words(design: Design) -> str:
    """Return the numbers of cells, arms and seeds of a study's runs, in parentheses."""
    study, search = design.spec.study, design.spec.search
    numbers = (len(design.cells), "cell"), (len(design.arms), "arm"), (study.stages[0], "seed")
    words = " × ".join(count(*number) for number in numbers)
    if later := study.stages[1:]:
        words += f", in undecided cells then {', '.join(map(str, later))}"
    if search is not None:
        words += f"; {search.trials} trials × {len(search.seeds)} seeds to tune each arm"
    return f" ({words})"
