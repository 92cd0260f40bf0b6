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


def compare(rounds, *, peer, unit, **works):
    """Comparisons of every work with its peer. ``works`` is name → (title, mark).

    ``rounds`` yields, for each round, {name: rate} of every work and of "peer", all measured in that round. The ratio
    is the median of the rounds' own ratios: a neighbour on the machine slows both sides of one round alike, and a
    single bad round decides nothing.
    """
    rounds = list(rounds)
    theirs = statistics.median(each["peer"] for each in rounds)
    return [
        Comparison(
            work=title,
            peer=peer,
            unit=unit,
            ours=statistics.median(each[name] for each in rounds),
            theirs=theirs,
            ratio=statistics.median(each[name] / each["peer"] for each in rounds),
            mark=mark,
        )
        for name, (title, mark) in works.items()
    ]
