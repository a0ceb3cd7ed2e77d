"""Prints one prompt with many candidates, for a test that compares processes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

import msgspec

from cozy_domain.context.bundle import Gathered
from cozy_domain.context.prompt import build
from tests.unit.domain.context import givens

found = tuple(
    givens.candidate(
        str(at), f"Fact {at}: likes tea number {at % 7} in {'abcdefg'[at % 5]}", score=at % 3 / 2
    )
    for at in range(60)
)
bundle = build(givens.given(gathered=Gathered(candidates=found), window=3_000), givens.COUNTER)
sys.stdout.buffer.write(msgspec.json.encode(bundle))
