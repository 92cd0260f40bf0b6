"""Certificates of destruction: facts in words, what is handed to outsiders, and which lines are whose."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters

from access_control import policies
from access_control.accounts import actor_of
from access_control.admin import ReadOnlyAdmin
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.references import PLAN
from retention.events import Event
from retention.forms import SubjectForm
from retention.models import Certificate, CertificateLine, Verification
from retention.papers import certificate_pdf
from retention.services.certificates import as_file, pseudonym
from retention.services.verifying import newest_verification
from retention.showing import certificate_facts, findings_of
from retention.words import generation_in_words

# Whoever may name a member on a page of destruction: to hold their data, or to find their lines.
NAMES_SUBJECTS = "retention.place_legalhold"


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin):
    """Certificates, newest first."""

    list_display = ("name", "issued_at", "destroyed", "parked", "verification_name")
    ordering = ("-issued_at",)
    sortable_by = ("issued_at",)
    list_display_links = ("name",)
    search_fields = ("plan__reference__startswith",)
    reference_groups = PLAN
    search_help_text = _("Reference of a plan (YYYYMMDD-XXXX)")

    def get_urls(self) -> list[URLPattern]:
        """The list, the certificate, and what is handed out; nothing else of the stock admin."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="retention_certificate_changelist"),
            path("<uuid:plan_id>/", wrap(self.certificate_view), name="retention_certificate_change"),
            path("<uuid:plan_id>/lines/", wrap(self.find_view), name="retention_certificate_find"),
            path("<uuid:plan_id>/file/", wrap(self.file_view), name="retention_certificate_file"),
            path("<uuid:plan_id>/paper/<slug:language>/", wrap(self.paper_view), name="retention_certificate_paper"),
            path("<uuid:plan_id>/key/", wrap(self.key_view), name="retention_certificate_key"),
        ]

    # The list.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Certificate]:
        """Without the documents, which the list does not show."""
        newest = Verification.objects.filter(plan=OuterRef("plan")).order_by("-id")
        seen: QuerySet[Certificate] = super().get_queryset(request).select_related("plan__run")
        seen = seen.annotate(findings=Subquery(newest.values("failed_count")[:1]))
        return seen.defer("document", "public_key", "signature", "salt")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list."""
        return super().changelist_view(request, {"title": _("Certificates of destruction"), **(extra_context or {})})

    @admin.display(description=_("plan reference"))
    def name(self, certificate: Certificate) -> SafeString:
        """The reference of plan, run and certificate."""
        return format_html("<code>{}</code>", certificate.plan.reference)

    @admin.display(description=_("destroyed"))
    def destroyed(self, certificate: Certificate) -> str:
        """Items."""
        return f"{certificate.plan.run.destroyed_count:,}"

    @admin.display(description=_("parked"))
    def parked(self, certificate: Certificate) -> str:
        """Items."""
        return f"{certificate.plan.run.parked_count:,}"

    @admin.display(description=_("verification"))
    def verification_name(self, certificate: Certificate) -> SafeString:
        """What the newest verification found."""
        found = certificate.findings  # type: ignore[attr-defined]
        if found is None:
            tone, said = "wait", str(_("not verified"))
        elif found:
            tone, said = "stop", ngettext("%(n)d finding", "%(n)d findings", found) % {"n": found}
        else:
            tone, said = "ok", str(_("verified"))
        return format_html('<span class="badge badge--{}">{}</span>', tone, said)

    # One certificate.

    def _certificate(self, request: HttpRequest, plan_id: uuid.UUID) -> Certificate:
        if not policies.can(request.user, "retention.view_certificate"):
            raise PermissionDenied
        whole = Certificate.objects.select_related("plan__run", "plan__approval")
        seen = policies.restrict(whole, request.user, "retention.view_certificate")
        certificate = seen.filter(plan=plan_id).first()
        if certificate is None:
            raise Http404
        return certificate

    def certificate_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
        """What the certificate says, in words, and what can be handed out."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return self._render(request, self._certificate(request, plan_id))

    @method_decorator(sensitive_post_parameters())
    def find_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
        """Which lines are about a person. Who is asked for travels in a POST; that it was asked is in the ledger."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        certificate = self._certificate(request, plan_id)
        actor = actor_of(request)
        if not policies.can(actor, NAMES_SUBJECTS):
            raise PermissionDenied
        form = SubjectForm(request.POST, actor=actor)
        found = None
        if form.is_valid():
            subject = form.cleaned_data["who"]
            lines = CertificateLine.objects.filter(plan=certificate.plan_id, subject=subject).order_by("id")
            with acting(actor, reason=Reason.DAILY_WORK, case=form.case.pk if form.case else None) as act:
                act.record(Event.CERTIFICATE_SEARCHED, subject=subject, note=certificate.plan_id)
                found = {
                    "pseudonym": pseudonym(bytes(certificate.salt), subject),
                    "lines": [
                        {
                            "id": line.pk,
                            "category": line.get_category_display(),
                            "generation": generation_in_words(line.category, line.generation),
                            "destroyed_at": line.destroyed_at,
                        }
                        for line in lines
                    ],
                }
        return self._render(request, certificate, form=form, found=found)

    def _render(self, request: HttpRequest, certificate: Certificate, **more: Any) -> HttpResponse:
        actor = actor_of(request)
        verification = newest_verification(certificate.plan)
        may_find = policies.can(actor, NAMES_SUBJECTS)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Certificate of destruction %(reference)s") % {"reference": certificate.plan.reference},
            "opts": Certificate._meta,
            "certificate": certificate,
            "plan": certificate.plan,
            "facts": certificate_facts(certificate),
            "verification": verification,
            "findings": findings_of(verification) if verification else [],
            "may_see_plan": policies.can(actor, "retention.view_plan"),
            "form": SubjectForm(actor=actor) if may_find else None,
            "now": timezone.now(),
            **more,
        }
        return TemplateResponse(request, "admin/retention/certificate/page.html", context)

    # What leaves the house.

    def _taken(self, request: HttpRequest, plan_id: uuid.UUID) -> Certificate:
        """The certificate, of which something is about to be taken out: on record before it goes."""
        certificate = self._certificate(request, plan_id)
        with acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
            act.record(Event.CERTIFICATE_TAKEN, note=certificate.plan_id)
        return certificate

    def file_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse | StreamingHttpResponse:
        """Document, signature and lines, for an outsider to check. Names nobody."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        certificate = self._taken(request, plan_id)
        return StreamingHttpResponse(
            (piece.encode() for piece in as_file(certificate)),
            content_type="application/json",
            headers=_attachment(f"certificate-{certificate.plan.reference}.json"),
        )

    def paper_view(self, request: HttpRequest, plan_id: uuid.UUID, language: str) -> HttpResponse:
        """The certificate for people to read, in a language of the console."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if language not in dict(settings.LANGUAGES):
            raise Http404
        certificate = self._taken(request, plan_id)
        return HttpResponse(
            certificate_pdf(certificate, language),
            content_type="application/pdf",
            headers=_attachment(f"certificate-{certificate.plan.reference}-{language}.pdf"),
        )

    def key_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
        """The public key with which the certificate is checked."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        certificate = self._certificate(request, plan_id)
        return HttpResponse(
            certificate.public_key, content_type="application/x-pem-file", headers=_attachment("public-key.pem")
        )


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
