"""Members of the demo of whom too little is on file to compare two facts, each in a case of an agent."""

import datetime

from access_control.models import Staff
from consent.demo import loading
from consent.demo.people import people
from consent.importing import import_members
from members.models import Member
from members.services.cases import open_case
from members.services.documents import confirm_document
from members.services.finding import find


def little_known(known, *, seed, today):
    """Two more rows of the import format, with contacts alone."""
    rows = list(people(known + 2, seed=seed, today=today))[known:]
    return [row | {"birth_date": None, "addressees": []} for row in rows]


def document_cases(rows, *, username):
    """Stage → case: "unproven" waits for a supervisor who sees a document, "document" was confirmed by one."""
    agent, supervisor = (Staff.objects.select_related("person").get(username=name) for name in (username, "supervisor"))
    import_members(loading._lines(iter(rows)), actor=None, rejects=loading._NoRejects(), progress=lambda rows: None)

    def case_of(row):
        (hit,) = find(str(row["member_number"]), actor=agent).hits
        return open_case(Member.objects.get(pk=hit.member), kind="correction", channel="letter", actor=agent)

    unproven, document = map(case_of, rows)
    confirm_document(document, kind="passport", issued_on=datetime.date(2024, 5, 2), actor=supervisor)
    document.refresh_from_db()
    return {"unproven": unproven, "document": document}
