"""Joining (P1): a member is registered and counts as having agreed, in one transaction."""

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from access_control.codes import Reason
from access_control.copying import copy_rows, update_rows
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import Staff
from consent.events import Event
from consent.models import AcceptedVersion, ConsentEvent, PolicyVersion
from members.intake import NewMember
from members.services import registration
from members.services.registration import Registration


def join(new: NewMember, *, screen_hash: bytes, actor: Staff | None, reason: str = Reason.JOINED) -> Registration:
    """One new member from the site, with the hash (32 bytes) of the screen on which the policy was shown."""
    return _enter([new], channel=ConsentEvent.Channel.SITE, screen_hash=screen_hash, actor=actor, reason=reason)[0]


def join_many(news: Sequence[NewMember], *, actor: Staff | None, reason: str = Reason.IMPORTED) -> list[Registration]:
    """Members from a file: deemed consent with evidence "not held"; a hash is never invented.

    For a member on file a later use makes its own deemed event (P1), and what changed on My Page is taken.
    """
    return _enter(news, channel=ConsentEvent.Channel.IMPORT, screen_hash=None, actor=actor, reason=reason)


def _enter(
    news: Sequence[NewMember], *, channel: str, screen_hash: bytes | None, actor: Staff | None, reason: str
) -> list[Registration]:
    with acting(actor, reason=reason) as act:
        from_file = channel == ConsentEvent.Channel.IMPORT
        registrations = registration.register(news, act=act, from_file=from_file)
        versions = list(PolicyVersion.objects.order_by("-effective_on"))
        evidence = ConsentEvent.Evidence.SCREEN if screen_hash else ConsentEvent.Evidence.NOT_HELD
        events: list[list[Any]] = []
        newest: dict[uuid.UUID, list[Any]] = {}
        for new, registered in zip(news, registrations, strict=True):
            for kind, day in _deemed(new, registered):
                event, version = new_id(), _version_on(versions, day)
                events.append([event, registered.member, version, kind, channel, day, evidence, screen_hash])
                if version:
                    newest[registered.member] = [registered.member, version, event]
        copy_rows(ConsentEvent, ["id", "member", "version", "kind", "channel", "on", "evidence", "screen_hash"], events)
        created = [one.member for one in registrations if one.outcome == registration.CREATED]
        fresh = set(created)
        copy_rows(AcceptedVersion, ["member", "version", "event"], [newest[m] for m in created if m in newest])
        _accept_newer([row for member, row in newest.items() if member not in fresh], versions)
        used = {one.member for one in registrations if one.used_on}
        act.record_each(Event.CONSENT_DEEMED, [*created, *sorted(used - fresh)])
    return registrations


def _deemed(new: NewMember, registered: Registration) -> list[tuple[ConsentEvent.Kind, datetime.date]]:
    """What counts as consent: joining and using, or a later use of a member on file."""
    kinds = ConsentEvent.Kind
    if registered.outcome == registration.CREATED:
        days = [(kinds.DEEMED_JOINING, new.joined_on), (kinds.DEEMED_USING, new.last_used_on)]
        return [(kind, day) for kind, day in days if day]
    return [(kinds.DEEMED_USING, registered.used_on)] if registered.used_on else []


def _accept_newer(rows: Sequence[list[Any]], versions: Sequence[PolicyVersion]) -> None:
    """Members on file (member, version, event) accept a version that is newer than the one they accepted."""
    accepted = dict(
        AcceptedVersion.objects.filter(member__in=[row[0] for row in rows]).values_list("member", "version")
    )
    rank = {version.pk: version.effective_on for version in versions}
    copy_rows(AcceptedVersion, ["member", "version", "event"], [row for row in rows if row[0] not in accepted])
    newer = [row for row in rows if row[0] in accepted and rank[row[1]] > rank[accepted[row[0]]]]
    update_rows(AcceptedVersion, ["version", "event"], newer)


def _version_on(versions: Sequence[PolicyVersion], day: datetime.date) -> uuid.UUID | None:
    """The version in force on a day; None when its text is not held."""
    return next((version.pk for version in versions if version.effective_on <= day), None)
