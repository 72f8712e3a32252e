"""The display of a single run while it trains."""

from __future__ import annotations

import time
from collections import deque
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from a3c.training import Progress as TrainingProgress
from studies.terminal.bar import WithBar

LINE_SECONDS = 5.0
RECENT = 20


class LiveRun(WithBar):
    """A display of steps, episodes, recent return and speed: a bar in a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console)
            self._bar.add_task("training", total=1.0, figures="")
            self._bar.start()
        return self

    def emit(self, progress: TrainingProgress) -> None:
        """Show one progress event; called from worker threads, one at a time."""
        if progress.last_return is not None:
            self._recent.append(progress.last_return)
        now = time.monotonic()
        last = progress.fraction >= 1
        if now - self._shown < (0.2 if self._bar is not None else LINE_SECONDS) and not last:
            return
        self._shown = now
        mean = f"{sum(self._recent) / len(self._recent):.1f}" if self._recent else "–"
        figures = (
            f"{progress.step} steps, {progress.episodes} episodes, return {mean} (last {len(self._recent)}), "
            f"{progress.step / max(1e-9, now - self._began):,.0f} steps/s"
        )
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=progress.fraction, figures=figures)
        else:
            self._console.print(f"{progress.fraction:4.0%}  {figures}", highlight=False, markup=False, soft_wrap=True)
