"""Every setting of one training run: its unit, range and source; and the presets.

Loads neither torch nor numba nor gymnasium: a study checks thousands of configs before anything heavy starts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from a3c.errors import did_you_mean
from a3c.schedules import ScheduleName
from a3c.targets.registry import find_tail_rule

DEFAULT_STEPS = 100_000

TRAINING_METRICS = frozenset(
    {
        "differing_target_share",
        "episodes",
        "mean_target_shift",
        "staleness_max",
        "staleness_mean",
        "staleness_median",
        "steps",
        "training_return_last_100",
        "updates",
    }
)
# Tail rules to which an n beyond the rollout's length is that length; others may read n itself.
BLIND_BEYOND_THE_CUT = frozenset({"drop", "max_terms", "missing_as_zero"})
EVALUATION_METRICS = frozenset(
    {"auc", "best", "collapsed", "final", "final_return", "random_return", "solved", "steps_to_threshold"}
)


def _known_tail_rule(name: str) -> str:
    find_tail_rule(name)
    return name


def _length_or_episode(value: object) -> object:
    if value == "episode" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000):
        return value
    raise ValueError("must be a number of steps from 1 to 1000000, or 'episode'")


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Rate = Annotated[float, Field(gt=0, le=10)]
Decay = Annotated[float, Field(ge=0, lt=1)]

EngineName = Literal["compiled", "autograd"]  # the fastest first


class TrainConfig(BaseModel):
    """One training run, whole: the same config gives the same bits under ``round_robin`` (on one machine type).

    "Source" is the published program (A3C multi-threaded discrete version with N-step targets); Mnih is Mnih et
    al. 2016, arXiv 1602.01783.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    env_id: Annotated[str, Field(min_length=1, max_length=300)] = "CartPole-v1"
    """Gymnasium id; Discrete actions and a flat Box observation are needed."""
    env_kwargs: dict[str, Any] = {}
    """Keyword arguments of ``gymnasium.make``."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The one seed every random stream is spawned from."""

    workers: Annotated[int, Field(ge=1, le=256)] = 4
    """Threads, each with its own environment and local network."""
    schedule: ScheduleName = "round_robin"
    """The order of pushes: a fixed turn (repeats bit for bit) or first come, first served."""
    engine: Literal["auto", EngineName] = "auto"
    """The arithmetic of the networks: in machine code, or by torch; ``auto`` takes the fastest that can."""

    n_step: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Rewards in a complete n-step window (under the ``seed`` convention the program's own N)."""
    target: Annotated[str, AfterValidator(_known_tail_rule)] = "max_terms"
    """The tail rule: what stands for a target's missing terms (:mod:`a3c.targets`); ``module:name`` for one's own."""
    n_step_convention: Literal["textbook", "seed"] = "textbook"
    """The way n counts: by the formula, or as the published program does."""
    n_step_head: Literal["actor", "critic", "both"] = "actor"
    """The head that learns from the n-step targets; the other uses the rollout's bootstrapped discounted return."""
    rollout_length: Annotated[int | Literal["episode"], BeforeValidator(_length_or_episode)] = 20
    """Steps between updates (Mnih's t_max), or whole episodes as in the source. The end of an episode always cuts."""
    bootstrap_truncated: bool = True
    """Whether a time limit is bootstrapped with V(s_T) (Pardo et al. 2018) or counts as an end (the source)."""

    total_steps: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Budget in environment steps over all workers; 100000 where no budget is given."""
    total_episodes: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Budget in episodes over all workers, instead of steps."""

    gamma: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Discount a step."""
    entropy_coef: Annotated[float, Field(ge=0, le=100)] = 0.01
    """β, weight of the policy's entropy in the actor's loss."""
    log_epsilon: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Added to probabilities inside logarithms (the source: 1e-5)."""

    learning_rate: Rate = 3e-4
    """Step size of the actor, and of the critic unless it has its own."""
    critic_learning_rate: Rate | None = 5e-3
    """Step size of the critic; None: as the actor's."""
    anneal_learning_rate: bool = True
    """Whether step sizes fall linearly to 0 over the budget."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Applied by the parameter store, its statistics shared by all workers."""
    adam_beta1: Decay = 0.9
    """Adam: decay of the gradient's running mean, a step."""
    adam_beta2: Decay = 0.999
    """Adam: decay of the squared gradient's running mean, a step."""
    rmsprop_decay: Decay = 0.99
    """RMSProp: decay of the squared gradient's running mean, a step (Mnih's α)."""
    optimizer_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Adam: added outside the root. RMSProp: inside it, as in Mnih."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = None
    """The gradient is scaled down to this norm, taken over the whole vector of actor and critic."""
    local_critic_step: bool = False
    """Whether the worker's critic takes a step of its own on the rollout before the baseline is read (the source)."""

    hidden_sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...],
        BeforeValidator(_tuple),
        Field(min_length=1, max_length=8),
    ] = (128,)
    """Units of each hidden layer, for the actor and the critic alike."""
    activation: Literal["relu6", "relu", "tanh"] = "relu6"
    """Of the hidden layers."""

    evaluations: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Parameter snapshots on an even grid over the budget, the last at its end; 0 for none."""
    evaluation_episodes: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Episodes each snapshot is evaluated on."""
    evaluation_policy: Literal["greedy", "sampled"] = "greedy"
    """Whether evaluation takes the likeliest action or samples."""
    evaluation_env_kwargs: dict[str, Any] | None = None
    """Keyword arguments of the evaluation environment; None: as ``env_kwargs``."""
    evaluation_scale: Annotated[tuple[float, float], BeforeValidator(_tuple)] | None = None
    """Returns scored as 0 and 1; None: the random policy's, and the environment's reward threshold."""

    @model_validator(mode="before")
    @classmethod
    def _none_as_text(cls, data: Any) -> Any:
        """Read "none" as None where a field allows it: TOML has no null."""
        if not isinstance(data, dict):
            return data
        optional = {name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {name: None if name in optional and value == "none" else value for name, value in data.items()}

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.total_steps is not None and self.total_episodes is not None:
            raise ValueError("total_steps and total_episodes: give one budget, not both")
        if self.total_steps is None and self.total_episodes is None:
            object.__setattr__(self, "total_steps", DEFAULT_STEPS)
        if self.evaluation_scale is not None and self.evaluation_scale[0] >= self.evaluation_scale[1]:
            raise ValueError("evaluation_scale: must be [low, high] with low < high")
        return self

    @property
    def budget(self) -> int:
        """The budget, in :attr:`budget_unit`."""
        return self.total_steps if self.total_steps is not None else self.total_episodes or 0

    @property
    def budget_unit(self) -> Literal["steps", "episodes"]:
        """The unit of the budget, the snapshot grid and annealing."""
        return "steps" if self.total_steps is not None else "episodes"

    @classmethod
    def preset(cls, preset: str, /, **changes: Any) -> Self:
        """Return a named starting point with some fields changed.

        Args:
            preset: ``default``, ``seed`` (the published program) or ``mnih2016``.
            **changes: any fields.

        Raises:
            ValueError: if there is no such preset.
            pydantic.ValidationError: if a field is not valid.
        """
        if not isinstance(preset, str) or preset not in PRESETS:
            hint = did_you_mean(preset, PRESETS) if isinstance(preset, str) else ""
            raise ValueError(f"{preset=}: must be one of {', '.join(PRESETS)}{hint}")
        settings = dict(PRESETS[preset])
        for budget, other in (("total_steps", "total_episodes"), ("total_episodes", "total_steps")):
            if changes.get(budget) is not None:
                settings.pop(other, None)
        return cls.model_validate({**settings, **changes})

    def effective(self) -> dict[str, Any]:
        """Return the settings that can make a difference: configs equal here (seeds apart) train identically."""
        settings = self.model_dump(mode="json", exclude={"seed"})
        clamped = self.n_step_convention == "textbook" and self.target in BLIND_BEYOND_THE_CUT
        if clamped and self.rollout_length != "episode":
            settings["n_step"] = min(self.n_step, self.rollout_length)
        if self.critic_learning_rate is None:
            settings["critic_learning_rate"] = self.learning_rate
        if self.evaluation_env_kwargs is None:
            settings["evaluation_env_kwargs"] = self.env_kwargs
        unused = {"adam": ["rmsprop_decay"], "rmsprop": ["adam_beta1", "adam_beta2"]}
        unused["sgd"] = [*unused["adam"], *unused["rmsprop"], "optimizer_epsilon"]
        for field in unused[self.optimizer]:
            del settings[field]
        return settings

    def metric_names(self) -> frozenset[str]:
        """Return the metrics a complete run has: ``solved`` and the like only where something defines solved."""
        return TRAINING_METRICS | EVALUATION_METRICS if self.evaluations else TRAINING_METRICS

    def lower_is_better(self) -> frozenset[str]:
        """Return the metrics of which less is better."""
        return frozenset({"collapsed", "steps_to_threshold"})


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # The published program. It has no lock (hogwild); `free` is the nearest schedule there is so far.
    "seed": {
        "env_id": "CartPole-v0",
        "workers": 4,
        "schedule": "free",
        "n_step": 15,
        "n_step_convention": "seed",
        "rollout_length": "episode",
        "bootstrap_truncated": False,
        "total_episodes": 500,
        "gamma": 0.999,
        "entropy_coef": 0.1,
        "log_epsilon": 1e-5,
        "learning_rate": 0.01,
        "critic_learning_rate": None,
        "anneal_learning_rate": False,
        "optimizer": "adam",
        "adam_beta1": 0.99,
        "local_critic_step": True,
        "hidden_sizes": (128,),
        "activation": "relu6",
    },
    "mnih2016": {
        "workers": 16,
        "schedule": "free",
        "n_step": 5,
        "rollout_length": 5,
        "gamma": 0.99,
        "entropy_coef": 0.01,
        "learning_rate": 7e-4,
        "critic_learning_rate": None,
        "anneal_learning_rate": True,
        "optimizer": "rmsprop",
        "rmsprop_decay": 0.99,
        "optimizer_epsilon": 0.1,
        "max_grad_norm": 40.0,
    },
}
