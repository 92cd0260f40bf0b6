"""Work timed in turns with its peer, and the verdict."""

import dataclasses
import gc
import statistics
import time


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One line of the table: the median rates of a work and of its peer, and their ratio.

    ``mark`` is what the ratio must reach (DESIGN, "Marks"); None: printed for information.
    """

    work: str
    peer: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    mark: float | None = None

    @property
    def met(self):
        """Whether the mark is reached; None when there is none."""
        return None if self.mark is None else self.ratio >= self.mark


def rate(work, count):
    """How many of ``count`` the work does in a second."""
    gc.collect()
    # What lies about from making the people costs no side anything.
    gc.freeze()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    gc.unfreeze()
    return count / seconds


@dataclasses.dataclass(frozen=True)
class Line:
    """What a line of the table compares: titles, and the names under which a round hands out the two rates."""

    work: str
    ours: str
    peer: str
    theirs: str
    mark: float | None = None


def compare(rounds, lines, *, unit):
    """The comparisons of ``lines``, from ``rounds``: {name: rate} of everything measured in each round.

    The ratio is the median of the rounds' own ratios: a neighbour on the machine slows both sides of one round alike,
    and a single bad round decides nothing.
    """
    rounds = list(rounds)

    def median(rate_of):
        return statistics.median(map(rate_of, rounds))

    return [
        Comparison(
            work=line.work,
            peer=line.peer,
            unit=unit,
            ours=median(lambda each, line=line: each[line.ours]),
            theirs=median(lambda each, line=line: each[line.theirs]),
            ratio=median(lambda each, line=line: each[line.ours] / each[line.theirs]),
            mark=line.mark,
        )
        for line in lines
    ]
