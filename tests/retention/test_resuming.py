"""Number 7: nothing is signed over a journal that was cut, emptied or exchanged, however whole its chain is."""

import hashlib
import json

import pytest

from retention import points
from retention.journal import JournalError, entries, path_of
from retention.models import Certificate, CertificateLine, Run
from retention.points import Point
from retention.services import items
from tests import factories
from tests.retention.conftest import approved, ended, run, verify


class Stopped(Exception):
    """The process ends here."""


def stopped_run(monkeypatch, *, point=Point.COMPLETED, chunks=3, people=5):
    """A run over several chunks that stopped at ``point`` of the last of them."""
    for _once in range(people):
        ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    plan, passed = approved(), []

    def watch(at):
        passed.append(at)
        if passed.count(point) == chunks and at == point:
            raise Stopped

    monkeypatch.setattr(points, "watch", watch)
    with pytest.raises(Stopped):
        run(plan)
    monkeypatch.setattr(points, "watch", None)
    return plan


def chained(lines):
    """Lines of a journal with numbers and hashes made anew, as whoever knows the format would."""
    before, made = hashlib.sha256(b"").hexdigest(), []
    for number, line in enumerate(lines, 1):
        says = {"n": number, "kind": line["kind"], "before": before} | line
        body = json.dumps(says, separators=(",", ":"))[:-1]
        before = hashlib.sha256(body.encode()).hexdigest()
        made.append(f'{body},"hash":"{before}"}}\n')
    return "".join(made)


def said_by(path):
    """What the lines of a journal say, without number and hashes."""
    return [
        {"kind": one.kind, **{name: told for name, told in one.says.items() if name not in {"n", "before", "hash"}}}
        for one in entries(path)
    ]


def is_refused(plan, content, *, line):
    """The run refuses to go on, names file and line and says how to go on; the file and the run stay as they are."""
    path = path_of(plan.pk)
    path.write_text(content)
    before = (Run.objects.get(plan=plan).times_begun, CertificateLine.objects.filter(plan=plan).count())
    with pytest.raises(JournalError) as refused:
        run(plan)
    assert f"{path}, line {line}:" in str(refused.value)
    assert "backup" in str(refused.value)
    assert f"abandon_run {plan.reference}" in str(refused.value)
    assert path.read_text() == content
    assert (Run.objects.get(plan=plan).times_begun, CertificateLine.objects.filter(plan=plan).count()) == before
    assert not Certificate.objects.filter(plan=plan).exists()


def goes_on(plan, content):
    """With the whole journal back, the run ends, and all of it is verified."""
    path_of(plan.pk).write_text(content)
    assert run(plan).destroyed == plan.line_count
    found = verify(plan)
    assert (found.failed_count, found.findings) == (0, [])


@pytest.mark.parametrize("point", [Point.COMPLETED, Point.COMMITTED, Point.DESTROYED])
def test_a_journal_cut_at_any_line_is_refused_when_a_destruction_is_missing(committed, monkeypatch, point):
    """Number 7: also where the destruction is in the vault alone."""
    plan = stopped_run(monkeypatch, point=point)
    path = path_of(plan.pk)
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    kinds = [one.kind for one in entries(path)]
    last_intent = len(kinds) - kinds[::-1].index("intent")
    for kept in range(last_intent):
        is_refused(plan, "".join(lines[:kept]), line=kept + 1)
    goes_on(plan, whole)


def test_a_completion_that_was_cut_off_is_written_again(committed, monkeypatch):
    """Number 7: as after a crash: what the lost line said, the certificate lines say."""
    plan = stopped_run(monkeypatch)
    lines = path_of(plan.pk).read_text().splitlines(keepends=True)
    goes_on(plan, "".join(lines[:-1]))


def test_an_emptied_journal_is_refused(committed, monkeypatch):
    """Number 7: also one that holds nothing but half a line, which is left as it is."""
    plan = stopped_run(monkeypatch, chunks=1, people=2)
    whole = path_of(plan.pk).read_text()
    is_refused(plan, "", line=1)
    is_refused(plan, whole[:40], line=1)
    is_refused(plan, "\n", line=1)
    goes_on(plan, whole)


def test_the_journal_of_another_plan_is_refused(committed, monkeypatch):
    """Number 7: as it is, and with its first line made to fit."""
    other = stopped_run(monkeypatch, chunks=1, people=2)
    run(other)
    foreign = said_by(path_of(other.pk))
    plan = stopped_run(monkeypatch, chunks=1, people=2)
    whole = path_of(plan.pk).read_text()
    is_refused(plan, path_of(other.pk).read_text(), line=1)
    is_refused(plan, chained([{"kind": "journal", "format": 1, "plan": str(plan.pk)}, *foreign[1:]]), line=2)
    goes_on(plan, whole)


def changed(lines, at, **says):
    return [line | says if number == at else line for number, line in enumerate(lines)]


def test_a_journal_written_anew_to_tell_otherwise_is_refused(committed, monkeypatch):
    """Number 7: every hash is in order; a chunk or an item is left out, or more is called destroyed than was."""
    plan = stopped_run(monkeypatch)
    whole = path_of(plan.pk).read_text()
    said = said_by(path_of(plan.pk))
    assert [line["kind"] for line in said] == ["journal", "intent", "done", "intent", "done", "intent", "done"]
    is_refused(plan, chained(said[:3] + said[5:]), line=6)
    fewer = said[3]["keys"][1:]
    is_refused(plan, chained(changed(changed(said, 3, keys=fewer), 4, destroyed=len(fewer))), line=8)
    is_refused(plan, chained(changed(said, 4, destroyed=said[4]["destroyed"] + 1)), line=5)
    stranger = [[str(factories.member().pk), str(factories.member().pk), 1, 1]]
    more = changed(changed(said, 3, keys=said[3]["keys"] + stranger), 4, destroyed=said[4]["destroyed"] + 1)
    is_refused(plan, chained(more), line=5)
    is_refused(plan, chained([*said[:3], said[2], *said[3:]]), line=4)
    is_refused(plan, chained(changed(said, 3, keys=[["x"]])), line=4)
    is_refused(plan, chained([{"kind": "journal", "format": 1, "plan": str(plan.pk)}, {"kind": "intent"}]), line=2)
    goes_on(plan, whole)


def test_a_missing_journal_says_how_to_go_on(committed, monkeypatch):
    """Number 7."""
    plan = stopped_run(monkeypatch, chunks=1, people=2)
    whole = path_of(plan.pk).read_text()
    path_of(plan.pk).unlink()
    with pytest.raises(JournalError, match=f"is missing.*backup.*abandon_run {plan.reference}"):
        run(plan)
    goes_on(plan, whole)


def test_a_torn_line_is_cut_off_and_the_run_goes_on(committed, monkeypatch):
    """Number 7: what was never on disk whole is no cut."""
    plan = stopped_run(monkeypatch)
    goes_on(plan, path_of(plan.pk).read_text() + '{"n":8,"kind":"intent"')
    assert "torn" in [one.kind for one in entries(path_of(plan.pk))]
