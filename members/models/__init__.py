"""Facts: whom it is about (``people``) and what is being done for them (``cases``)."""

from members.models.cases import (
    Case,
    CaseNote,
    Correction,
    IdentityTry,
    MemberGrant,
    Notice,
    Suspension,
)
from members.models.people import DATA_MODELS, Addressee, ContactPoint, Member, MemberData, PaymentMeans

__all__ = [
    "DATA_MODELS",
    "Addressee",
    "Case",
    "CaseNote",
    "ContactPoint",
    "Correction",
    "IdentityTry",
    "Member",
    "MemberData",
    "MemberGrant",
    "Notice",
    "PaymentMeans",
    "Suspension",
]
