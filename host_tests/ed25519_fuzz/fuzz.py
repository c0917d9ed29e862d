# SPDX-License-Identifier: MIT
"""Coverage-guided fuzzing of the C verifier against the Python one.

Every input is judged by the C verifier with each field arithmetic that this machine can run, and
by `ota.trust.ed25519`: all must say the same. The C runs under the address and undefined-behaviour
sanitizers and reports whether it reached anything new (coverage.c); such inputs are kept, judged
by the textbook oracle of `ed25519_cases` too, and become parents of others.

A run is replayed by its seed, a finding by its line in the form of the vector file.
"""

import contextlib
import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import ed25519_cases as cases
from ed25519_fuzz import target
from ed25519_fuzz.mutate import Input, Mutator, seeds
from ed25519_fuzz.target import Crash, Target
from ota.trust import ed25519

# Enough that C and Python work at the same time, few enough for the pipes.
BATCH = 16
FLAGS = {
    "portable": ("-O1", *target.SANITIZERS, target.PORTABLE),
    "host": ("-O1", *target.SANITIZERS),
}


class Report(NamedTuple):
    executions: int
    good: int  # of those
    kept: int  # inputs that reached something new
    findings: list[str]


def build(folder: Path, sources: Path = target.SOURCES) -> list[Path]:
    """Compile the targets; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        target.build(folder / name, flags, coverage=True, sources=sources)
        for name, flags in FLAGS.items()
    ]


def by_python(entry: Input) -> bool:
    verifier = ed25519.Verifier(entry.key, entry.signature)
    for piece in entry.pieces():
        verifier.update(piece)
    return verifier.ok()


def _line(entry: Input, verdicts: object) -> str:
    data = f"{entry.key.hex()} {entry.message.hex()} {entry.signature.hex()}"
    return f"{data} {verdicts} cuts {list(entry.cuts)}"


def _mutants(rng: random.Random, corpus: Sequence[Input]) -> Iterator[list[Input]]:
    """Yield the corpus, then for ever what can be made of it as it grows."""
    for start in range(0, len(corpus), BATCH):
        yield list(corpus[start : start + BATCH])
    mutate = Mutator(rng)
    while True:
        # What was found last is a parent as often as all the rest.
        yield [
            mutate(rng.choice(rng.choice((corpus, corpus[-32:]))), rng.choice(corpus))
            for _ in range(BATCH)
        ]


def fuzz(
    programs: Sequence[Path],
    seed: int,
    *,
    seconds: float = math.inf,
    limit: float = math.inf,
    corpus: Sequence[Input] = (),
    stop_at: int = 10,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Run for so long, for `limit` executions, or until there are `stop_at` findings.

    `corpus`: to begin with.
    """
    corpus = list(corpus or seeds())
    given = len(corpus)
    executions = good = kept = 0
    findings: list[str] = []
    start = told = time.monotonic()
    gc.freeze()  # each run of the Python verifier collects garbage
    with contextlib.ExitStack() as stack:
        stack.callback(gc.unfreeze)
        targets = [stack.enter_context(Target(program)) for program in programs]
        for batch in _mutants(random.Random(seed), corpus):
            now = time.monotonic()
            if now - start > seconds or executions >= limit or len(findings) >= stop_at:
                break
            if now - told > 60:
                told = now
                say(f"{executions} executions, {kept} kept, {len(findings)} findings")
            frames = b"".join(
                target.frame(entry.key, entry.signature, entry.pieces()) for entry in batch
            )
            for one in targets:
                one.send(frames)
            expected = [by_python(entry) for entry in batch]
            try:
                answers = [one.receive(len(batch)) for one in targets]
            except Crash as crash:
                findings.append(_line(batch[crash.args[0]], crash))
                break
            executions += len(batch)
            good += sum(expected)
            for entry, verdict, *others in zip(batch, expected, *answers, strict=True):
                verdicts = [verdict, *(bool(answer & 1) for answer in others)]
                if any(answer & target.NEW for answer in others):
                    rule = cases.broken_rule(entry.key, entry.message, entry.signature)
                    verdicts.append(rule == 0)
                    kept += 1
                    if executions > given:
                        corpus.append(entry)
                if len(set(verdicts)) > 1:
                    findings.append(_line(entry, verdicts))
    return Report(executions, good, kept, findings)
