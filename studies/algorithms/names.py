"""Algorithms by their dotted names: importing this module imports none of them."""

from __future__ import annotations

from harness import Algorithm

A3C = Algorithm(config="studies.algorithms.a3c:StudyConfig", train="a3c:train")
