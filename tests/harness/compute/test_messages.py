"""Messages between dispatcher and children: they arrive as they were, and nothing that arrives is ever executed."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Algorithm
from harness.algorithm.output import OUTCOMES, PlainResult, RunOutput
from harness.compute.messages import Message, receive, send
from harness.compute.processes import ProcessExecutor
from harness.compute.task import Advanced, Begun, Failed, Finished, Task
from tests.harness.lab import FAKE

Pair = tuple[Connection, Connection]
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.floats(allow_nan=False)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), number, text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)
algorithm = st.builds(Algorithm, config=text, train=text)
output = st.builds(
    RunOutput,
    outcome=st.sampled_from(OUTCOMES),
    metrics=st.dictionaries(text, number, max_size=3),
    timings=st.dictionaries(text, number, max_size=3),
    labels=st.dictionaries(text, text, max_size=3),
    files=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}\.(csv|npz)", fullmatch=True), st.binary(max_size=100_000), max_size=3
    ),
)
message = st.one_of(
    algorithm,
    st.builds(
        Task, run=text, algorithm=algorithm, settings=st.dictionaries(text, anything, max_size=3), time_limit=number
    ),
    st.builds(Begun, run=text, clock=number),
    st.builds(Advanced, run=text, fraction=number),
    st.builds(Finished, run=text, output=output, started=number, seconds=number),
    st.builds(Failed, run=text, reason=text, detail=text, crashed=st.booleans()),
)


def connected() -> Pair:
    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), Connection(theirs.detach())


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = connected()
    yield made
    for end in made:
        end.close()


@given(message)
@settings(max_examples=30, deadline=None)
def test_a_message_arrives_as_it_was(sent: Message) -> None:
    ours, theirs = connected()
    try:
        if isinstance(sent, Finished) and sum(map(len, sent.output.files.values())) > 50_000:
            return  # more than a socket holds: nobody reads it meanwhile here
        send(ours, sent)
        assert receive(theirs) == sent
    finally:
        ours.close()
        theirs.close()


@pytest.mark.fault(18, "a pickle that would run a program, sent by a child")
def test_what_is_no_message_is_refused_and_never_executed(pair: Pair, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    ours, theirs = pair
    for frame in (
        pickle.dumps(Attack()),
        b"",
        b"{}",
        b"[1, 2]",
        b'["Nothing", {}]',
        b'["Failed", {"run": "x"}]',
        b'["Failed", []]',
        b"[" * 10**4,
    ):
        ours.send_bytes(frame)
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError, RecursionError)):
            receive(theirs)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../x.csv", "/etc/x.csv", "x.txt", ".csv", "a/b.npz", "x.csv\n", "x" * 200 + ".csv"])
@pytest.mark.fault(18, "a result whose files would land outside of the run's folder")
def test_a_file_is_named_so_that_it_stays_in_its_folder(pair: Pair, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be kept"):
        RunOutput("complete", files={name: b""})
    ours, theirs = pair
    body = {"run": "x", "started": 0.0, "seconds": 0.0}
    output = {"outcome": "complete", "metrics": {}, "timings": {}, "labels": {}, "files": [name]}
    ours.send_bytes(json.dumps(["Finished", {**body, "output": output}]).encode())
    ours.send_bytes(b"content")
    with pytest.raises(ValueError, match="cannot be kept"):
        receive(theirs)


@pytest.mark.parametrize("name", ["../x", "curves"])
def test_a_table_named_like_a_path_or_like_the_curves_fails_its_run_alone(name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be kept as '{name}"):
        RunOutput.of(PlainResult(tables={name: _table()}))


@pytest.mark.parametrize("train", ["babble", "stop_half_way"])
@pytest.mark.fault(1, "a child that sends nonsense, or stops in the middle of a message")
def test_a_child_that_sends_nonsense_is_replaced_and_its_run_tried_again(
    train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.compute.processes.STALL_SECONDS", 1.0)
    executor = ProcessExecutor(1)
    try:
        executor.submit(Task("one", Algorithm(FAKE.config, f"tests.harness.fake_algorithm:{train}"), {}, 60.0))
        found: list[object] = []
        while not found:
            found = [event for event in executor.events(1.0) if not isinstance(event, Advanced)]
        (failed,) = found
        assert isinstance(failed, Failed)
        assert failed.crashed
        what = {"babble": "sent what is no message", "stop_half_way": "was killed by signal 9 (SIGKILL)"}
        assert failed.reason == f"the process {what[train]}"
    finally:
        executor.close()


def _table() -> Any:
    import pandas as pd

    return pd.DataFrame({"step": [1]})
