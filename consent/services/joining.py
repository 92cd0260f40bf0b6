"""Joining (P1): a member is registered and counts as having agreed, in one transaction."""

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from access_control.codes import Reason
from access_control.copying import copy_rows
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
    """New members from a file: deemed consent with evidence "not held"; a hash is never invented."""
    return _enter(news, channel=ConsentEvent.Channel.IMPORT, screen_hash=None, actor=actor, reason=reason)


def _enter(
    news: Sequence[NewMember], *, channel: str, screen_hash: bytes | None, actor: Staff | None, reason: str
) -> list[Registration]:
    with acting(actor, reason=reason) as act:
        registrations = registration.register(news, act=act)
        versions = list(PolicyVersion.objects.order_by("-effective_on"))
        evidence = ConsentEvent.Evidence.SCREEN if screen_hash else ConsentEvent.Evidence.NOT_HELD
        events: list[list[Any]] = []
        accepted: list[list[Any]] = []
        for new, registered in zip(news, registrations, strict=True):
            if registered.outcome != registration.CREATED:
                continue
            newest: list[Any] = []
            for kind, day in (
                (ConsentEvent.Kind.DEEMED_JOINING, new.joined_on),
                (ConsentEvent.Kind.DEEMED_USING, new.last_used_on),
            ):
                if day is None:
                    continue
                event, version = new_id(), _version_on(versions, day)
                events.append([event, registered.member, version, kind, channel, day, evidence, screen_hash])
                if version:
                    newest = [registered.member, version, event]
            if newest:
                accepted.append(newest)
        copy_rows(ConsentEvent, ["id", "member", "version", "kind", "channel", "on", "evidence", "screen_hash"], events)
        copy_rows(AcceptedVersion, ["member", "version", "event"], accepted)
        created = [r.member for r in registrations if r.outcome == registration.CREATED]
        act.record_each(Event.CONSENT_DEEMED, created)
    return registrations


def _version_on(versions: Sequence[PolicyVersion], day: datetime.date) -> uuid.UUID | None:
    """The version in force on a day; None when its text is not held."""
    return next((version.pk for version in versions if version.effective_on <= day), None)
