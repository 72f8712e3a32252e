"""This project's A3C, as a study trains it."""

from __future__ import annotations

from a3c import TrainConfig


class StudyConfig(TrainConfig):
    """A :class:`~a3c.TrainConfig` that answers the harness, see :mod:`harness.algorithm.protocol`."""

    def labels(self) -> dict[str, str]:
        """Return the labels a run would have on this machine: the engine that would compute it."""
        from a3c.engines.choice import choose_engine

        return {"engine": choose_engine(self)}

    def problems(self) -> list[tuple[str, object, str]]:
        """Make the environments once and return (field, value, allowed) for each misfit."""
        from a3c.environments.probing import problems_of_environments

        return problems_of_environments(self)

    def problems_key(self) -> str:
        """Return a key that configs with the same :meth:`problems` share."""
        return repr((self.env_id, self.env_kwargs, self.evaluation_env_kwargs))
