"""The inventory: the one declaration of every personal item the console holds (P2).

An undeclared personal field fails the build (tests/test_inventory.py); an undeclared column shows on the policy board.
Columns that are no personal item are listed in ``CLEAR`` with a sentence each, or are of a kind that holds none.
"""

import dataclasses
from typing import Any

from django.utils.translation import gettext_lazy as _

from access_control.vault.categories import Category
from members import rule_books
from members.masks import Mask
from members.rule_books import RuleBook


@dataclasses.dataclass(frozen=True)
class Item:
    """One personal item: stable code, the policy's item group (1–5; 0: of a case or a transaction), key, mask.

    ``book`` is the one rule book for its text, used by intake, correction, find and identity alike. ``source`` says
    from whom it comes, ``collected`` when.
    """

    code: str
    label: Any
    group: int
    category: Category
    mask: Mask
    book: RuleBook
    immutable: bool = False
    source: str = "the member"
    collected: str = "on joining, or on My Page"

    def __hash__(self) -> int:
        return hash(self.code)


_I, _C, _D, _P, _F, _L, _S = (
    Category.IDENTITY,
    Category.CONTACT,
    Category.DELIVERY,
    Category.PAYMENT,
    Category.PROFILE,
    Category.CORRESPONDENCE,
    Category.STATUTORY,
)

MEMBER_NUMBER = Item(
    "member.number", _("member number"), 1, _I, Mask.ALL, rule_books.MEMBER_NUMBER, True, source="the marketplace"
)
LOGIN_ID = Item("member.login_id", _("login ID"), 1, _I, Mask.NAME, rule_books.LOGIN_ID, True)
NAME = Item("member.name", _("name"), 1, _I, Mask.NAME, rule_books.NAME, True)
KANA = Item("member.kana", _("name (kana)"), 1, _I, Mask.NAME, rule_books.KANA, True)
BIRTH_DATE = Item("member.birth_date", _("date of birth"), 5, _F, Mask.DATE, rule_books.BIRTH_DATE)
SEX = Item("member.sex", _("sex"), 5, _F, Mask.ALL, rule_books.SEX)
OCCUPATION = Item("member.occupation", _("occupation"), 5, _F, Mask.ALL, rule_books.TEXT)

EMAIL = Item("contact.email", _("e-mail address"), 2, _C, Mask.MAIL, rule_books.MAIL)
MOBILE_EMAIL = Item("contact.mobile_email", _("mobile e-mail address"), 2, _C, Mask.MAIL, rule_books.MAIL)
PHONE = Item("contact.phone", _("telephone number"), 2, _C, Mask.PHONE, rule_books.TELEPHONE)
MOBILE = Item("contact.mobile", _("mobile telephone number"), 2, _C, Mask.PHONE, rule_books.TELEPHONE)
FAX = Item("contact.fax", _("fax number"), 2, _C, Mask.PHONE, rule_books.TELEPHONE)
CONTACT = {"email": EMAIL, "mobile_email": MOBILE_EMAIL, "phone": PHONE, "mobile": MOBILE, "fax": FAX}

ADDRESSEE_NAME = Item("addressee.name", _("addressee's name"), 3, _D, Mask.NAME, rule_books.NAME)
ADDRESSEE_KANA = Item("addressee.kana", _("addressee's name (kana)"), 3, _D, Mask.NAME, rule_books.KANA)
ADDRESSEE_POSTCODE = Item("addressee.postcode", _("addressee's postcode"), 3, _D, Mask.POSTCODE, rule_books.POSTCODE)
ADDRESSEE_ADDRESS = Item("addressee.address", _("addressee's address"), 3, _D, Mask.ADDRESS, rule_books.ADDRESS)
ADDRESSEE_PHONE = Item("addressee.phone", _("addressee's telephone number"), 3, _D, Mask.PHONE, rule_books.TELEPHONE)

CARD_TOKEN = Item(
    "payment.card_token", _("card token"), 4, _P, Mask.ALL, rule_books.TEXT, source="the settlement agency"
)
CARD_BRAND = Item("payment.card_brand", _("card brand"), 4, _P, Mask.ALL, rule_books.TEXT)
CARD_LAST_FOUR = Item("payment.card_last_four", _("card, last four digits"), 4, _P, Mask.ALL, rule_books.LAST_FOUR)
CARD_EXPIRY = Item("payment.card_expiry", _("card expiry"), 4, _P, Mask.ALL, rule_books.TEXT)
BANK = Item("payment.bank", _("bank"), 4, _P, Mask.ALL, rule_books.TEXT)
BRANCH = Item("payment.branch", _("bank branch"), 4, _P, Mask.ALL, rule_books.TEXT)
ACCOUNT_LAST_FOUR = Item(
    "payment.account_last_four", _("bank account, last four digits"), 4, _P, Mask.ALL, rule_books.LAST_FOUR
)
HOLDER = Item("payment.holder", _("account holder"), 4, _P, Mask.NAME, rule_books.NAME)
PAYMENT_MOBILE = Item("payment.mobile", _("mobile number used for payment"), 4, _P, Mask.PHONE, rule_books.TELEPHONE)

CASE_NOTE = Item("case.note", _("case note"), 0, _L, Mask.ALL, rule_books.TEXT, collected="during a case")
PROPOSED = Item(
    "correction.proposed", _("value asked for"), 0, _L, Mask.ALL, rule_books.TEXT, collected="during a case"
)
NOTICE_TO = Item("notice.to", _("notice address"), 0, _L, Mask.MAIL, rule_books.TEXT, collected="during a case")


# What the law demands (P7.A): the least of a transaction, sealed apart from everything else when it is written.
def _of_a_transaction(code: str, label: Any, mask: Mask, book: RuleBook = rule_books.TEXT) -> Item:
    return Item(code, label, 0, _S, mask, book, source="the marketplace", collected="with each transaction")


TRANSACTION_ORDER = _of_a_transaction("transaction.order", _("order number"), Mask.ALL, rule_books.ORDER)
TRANSACTION_GOODS = _of_a_transaction("transaction.goods", _("goods"), Mask.ALL, rule_books.GOODS)
TRANSACTION_AMOUNT = _of_a_transaction("transaction.amount", _("amount"), Mask.ALL)
TRANSACTION_NAME = _of_a_transaction("transaction.name", _("buyer's name"), Mask.NAME)
TRANSACTION_ADDRESS = _of_a_transaction("transaction.address", _("buyer's address"), Mask.ADDRESS, rule_books.ADDRESS)

ITEMS: dict[str, Item] = {
    item.code: item
    for item in (
        MEMBER_NUMBER,
        LOGIN_ID,
        NAME,
        KANA,
        BIRTH_DATE,
        SEX,
        OCCUPATION,
        *CONTACT.values(),
        ADDRESSEE_NAME,
        ADDRESSEE_KANA,
        ADDRESSEE_POSTCODE,
        ADDRESSEE_ADDRESS,
        ADDRESSEE_PHONE,
        CARD_TOKEN,
        CARD_BRAND,
        CARD_LAST_FOUR,
        CARD_EXPIRY,
        BANK,
        BRANCH,
        ACCOUNT_LAST_FOUR,
        HOLDER,
        PAYMENT_MOBILE,
        CASE_NOTE,
        PROPOSED,
        NOTICE_TO,
        TRANSACTION_ORDER,
        TRANSACTION_GOODS,
        TRANSACTION_AMOUNT,
        TRANSACTION_NAME,
        TRANSACTION_ADDRESS,
    )
}
# The items of the published policy's matrix; group 0 arises from dealing with a case, or is what the law keeps.
POLICY_ITEMS = {code: item for code, item in ITEMS.items() if item.group}

# Text columns that hold no personal item of a member, each with its reason.
CLEAR: dict[str, str] = {
    "members.Case.reference": "a random code that names the case, made by the console",
    "members.Suspension.item": "an item code",
    "members.Correction.item": "an item code",
    "members.Correction.field": "the name of a column",
    "members.Correction.reason": "a reason code",
    "members.MemberGrant.categories": "category codes",
    "members.Notice.item": "an item code",
    "members.Notice.about": "an item code",
    "members.Notice.language": "a language code",
    "members.Notice.failure": "a code or an error class name, never a server's reply",
    "members.IdentityTry.offered": "codes of the facts asked for, never what was said",
    "members.IdentityTry.matched": "codes of the facts that matched: all of those compared, or none",
    "members.IdentityTry.said": "a hash that only the member's key can make again",
    "members.Case.found_by": "kinds of identifier, never what was typed",
    "access_control.Entity.code": "a company of the group",
    "access_control.Entity.name": "a company of the group",
    "access_control.Entity.handles": "what a company of the group handles",
    "access_control.Person.employee_number": "staff, shown to colleagues so that every act has a name",
    "access_control.Person.display_name": "staff, shown to colleagues so that every act has a name",
    "access_control.Staff.username": "staff account name",
    "access_control.Staff.password": "argon2 hash of a staff password",
    "access_control.AccessRequest.employee_number": "staff, shown to whoever agrees to their access",
    "access_control.AccessRequest.display_name": "staff, shown to whoever agrees to their access",
    "access_control.AccessRequest.access_class": "an access class",
    "access_control.AccessRequest.username": "staff account name",
    "access_control.SignInLink.token_hash": "hash of a random token",
    "access_control.LedgerEvent.event": "an event code",
    "access_control.LedgerEvent.actor_name": "staff account name, so that the ledger outlives the account",
    "access_control.LedgerEvent.items": "item codes",
    "access_control.LedgerEvent.reason": "a reason code",
    "access_control.LedgerEvent.os_user": "operating-system account that ran a command",
    "access_control.LedgerEvent.os_host": "host that ran a command",
    "access_control.LedgerEvent.address": "network address of a staff computer",
    "access_control.Approval.kind": "what is approved",
    "access_control.Approval.payload_hash": "a hash of ids and dates",
    "access_control.AcceptedRestore.signs": "codes of what told that a database was restored",
    "access_control.AcceptedRestore.lost": "codes and counts of what a restore has lost",
    "members.Transaction.fiscal_year": "the year of a set of books, for everybody the same",
    "access_control.Entity.fiscal_year_starts": "a month of a company's books",
    "retention.RuleVersion.change_reason": "a rule of the company",
    "retention.Rule.use_months": "a rule of the company",
    "retention.Rule.use_days": "a rule of the company",
    "retention.Rule.keep_months": "a rule of the company",
    "retention.Rule.keep_days": "a rule of the company",
    "retention.Plan.reference": "a day and four random letters, made by the console",
    "retention.Plan.payload_hash": "a hash of ids, codes and dates",
    "retention.Run.os_host": "host that ran a command",
    "retention.Parked.error": "an error class name or SQLSTATE, never a message",
    "retention.Certificate.document": "counts, dates and hashes, made for outsiders",
    "retention.Certificate.public_key": "a public key",
    "retention.Certificate.signature": "a signature",
    "retention.Certificate.salt": "random bytes",
    "retention.Verification.findings": "codes and ids of certificate lines",
    "retention.Recheck.findings": "codes and ids of certificate lines",
    "consent.PolicyVersion.number": "a version number",
    "consent.PolicyVersion.change_reason": "published text",
    "consent.PolicySentence.sentence": "a sentence id",
    "consent.PolicySentence.clause": "a clause id",
    "consent.PolicySentence.text_ja": "published text",
    "consent.PolicySentence.text_en": "published text",
    "consent.MatrixCell.item": "an item code",
    "consent.OurRule.item": "an item code",
    "consent.OurRule.why": "a rule of the company",
    "consent.ConsentEvent.screen_hash": "hash of the screen shown, the same for everybody who saw it",
    "consent.Recipient.name": "a company",
    "consent.Engagement.items": "item codes",
    "consent.Engagement.purposes": "purpose codes",
    "consent.Provision.items": "item codes",
    "consent.SubjectReference.reference": "random, opaque, known to the recipient too",
}
