"""Members of the demo who end their membership, have ended it, or come back, each in a case of an agent."""

import datetime

from access_control.models import Staff
from members.models import ContactPoint, Member
from members.services.cases import open_case
from members.services.corrections import ask_correction
from members.services.finding import find
from members.services.identity import check_identity
from retention.services.memberships import end_membership
from tests.retention.conftest import ended


def said(row):
    """What the right caller says: birth date and the last four digits of a telephone."""
    phones = [contact["value"] for contact in row["contacts"] if "email" not in contact["kind"]]
    return {"birth_date": row["birth_date"] or "", "last_four": phones[0][-4:] if phones else ""}


def membership_cases(rows, *, username):
    """Stage → case: "ending", "undecided", "ended", "returning" and, after the last day, "late"."""
    agent = Staff.objects.select_related("person").get(username=username)
    # The first of the demo's members have cases already.
    callers = (row for row in rows[45:] if all(said(row).values()) and row["entity"] == "jp")

    def case_of(row, kind):
        (hit,) = find(str(row["member_number"]), actor=agent).hits
        case = open_case(Member.objects.get(pk=hit.member), kind=kind, channel="phone", actor=agent)
        assert check_identity(case, said=said(row), actor=agent).identified
        case.refresh_from_db()
        return case

    cases = {"ending": case_of(next(callers), "ending")}

    row = next(callers)
    cases["undecided"] = case_of(row, "ending")
    mail = ContactPoint.objects.filter(member=cases["undecided"].member, kind="email").first()
    correction = case_of(row, "correction")
    ask_correction(correction, item="contact.email", row=mail.pk, text="other@example.net", actor=agent)

    cases["ended"] = case_of(next(callers), "ending")
    end_membership(cases["ended"], actor=agent)

    row = next(callers)
    end_membership(case_of(row, "ending"), actor=agent)
    cases["returning"] = case_of(row, "return")

    row = next(callers)
    (hit,) = find(str(row["member_number"]), actor=agent).hits
    ended(Member.objects.get(pk=hit.member), ago=datetime.timedelta(days=40))
    cases["late"] = case_of(row, "return")
    return cases
