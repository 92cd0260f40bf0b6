"""Facts: whom it is about (``people``), what the law keeps (``transactions``), what is being done (``cases``)."""

from members.models.cases import (
    Case,
    CaseNote,
    Correction,
    IdentityTry,
    Notice,
    Suspension,
)
from members.models.documents import IdentityDocument
from members.models.grants import MemberGrant
from members.models.people import DATA_MODELS, Addressee, ContactPoint, DataAsOf, Member, MemberData, PaymentMeans
from members.models.transactions import Transaction, fiscal_year

__all__ = [
    "DATA_MODELS",
    "Addressee",
    "Case",
    "CaseNote",
    "ContactPoint",
    "Correction",
    "DataAsOf",
    "IdentityDocument",
    "IdentityTry",
    "Member",
    "MemberData",
    "MemberGrant",
    "Notice",
    "PaymentMeans",
    "Suspension",
    "Transaction",
    "fiscal_year",
]
