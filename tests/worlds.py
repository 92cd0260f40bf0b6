"""The cast of a module's tests, made once: the tests are sorted by the people they ask for, and start where these are.

What a test does is rolled back to where its people were made; people that the next test does not ask for go with it. So
no test finds anybody whom it did not ask for, and none waits for people who are there already.
"""

import contextlib
import copy

from django.db import connections, transaction
from psycopg.pq import TransactionStatus

from tests import factories
from tests.databases import ALIASES

# In the order in which they are made. Each is handed ``cast``, which gives the others.
MAKERS = {
    "agent": lambda cast: factories.staff("agent"),
    "hanako": lambda cast: factories.member(),
    "call": lambda cast: factories.case(cast("hanako"), cast("agent")),
    "identified": lambda cast: factories.identify(cast("call")),
    "second_agent": lambda cast: factories.staff("agent"),
    "supervisor": lambda cast: factories.staff("supervisor"),
    "officer": lambda cast: factories.staff("officer"),
    "auditor": lambda cast: factories.staff("auditor"),
    "administrator": lambda cast: factories.staff("administrator"),
}
_NEEDS = {"call": {"agent", "hanako"}, "identified": {"agent", "hanako", "call"}}


class Cast:
    """People by name: those who are there, and whoever else is asked for."""

    def __init__(self, there=()):
        self.people = dict(there)

    def __call__(self, name):
        if name not in self.people:
            self.people[name] = MAKERS[name](self)
        return self.people[name]


def people_of(item, own):
    """The names of the cast that a test asks for, in order; ``own`` tells whether a fixture is the cast's."""
    asked = {name for name in MAKERS if name in item.fixturenames and own(item, name)}
    asked |= {needed for name in asked for needed in _NEEDS.get(name, ())}
    return tuple(name for name in MAKERS if name in asked)


@contextlib.contextmanager
def undone(*, checked=True):
    """Inside is a part of a transaction on both databases that is rolled back.

    ``checked``: what is deferred is checked before the end, since nothing is ever committed.
    """
    with contextlib.ExitStack() as stack:
        for alias in ALIASES:
            stack.enter_context(_undone(alias, checked=checked and alias == "default"))
        yield


@contextlib.contextmanager
def _undone(alias, *, checked):
    connection = connections[alias]
    atomic = transaction.atomic(using=alias)
    # As in Django's own tests: what must be outermost may run inside.
    atomic._from_testcase = True
    with atomic:
        yield
        asked = connection.connection is not None and connection.connection.info.transaction_status
        if checked and asked == TransactionStatus.INTRANS and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True, using=alias)


class World:
    """The people who are there now, each name in a level of its own; the outermost level holds nobody."""

    def __init__(self):
        self._module, self._sessions = None, ()
        self._levels, self._people = [], []

    def enter(self, module, names):
        """Exactly these people are there; returns a cast of copies, so that no test changes another's."""
        if self._module is not module or self._sessions != self._open_sessions():
            self.leave()
        if not self._levels:
            self._module = module
            self._push()
            self._people.append(("", {}))
        here = [name for name, _people in self._people[1:]]
        same = 0
        while same < min(len(here), len(names)) and here[same] == names[same]:
            same += 1
        while len(self._levels) > same + 1:
            self._pop()
        for name in names[same:]:
            self._push()
            cast = Cast(copy.deepcopy(self._people[-1][1]))
            self._people.append((name, cast.people))
            cast(name)
        self._sessions = self._open_sessions()
        return Cast(copy.deepcopy(self._people[-1][1]))

    def leave(self):
        """Nobody is there any more."""
        while self._levels:
            self._pop()
        self._module, self._sessions = None, ()

    def _push(self):
        level = contextlib.ExitStack()
        level.enter_context(undone(checked=False))
        self._levels.append(level)

    def _pop(self):
        if len(self._people) == len(self._levels):
            self._people.pop()
        self._levels.pop().close()

    @staticmethod
    def _open_sessions():
        """A test that closed its connections has taken everybody away."""
        return [id(connections[alias].connection) for alias in ALIASES]
