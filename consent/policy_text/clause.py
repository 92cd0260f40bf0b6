"""What the policy's text is made of: clauses, and sentences with an id of their own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentence:
    """One promise of the policy in both languages. ``id`` is quoted by controls and refusals and never changes meaning.

    ``P8_A4`` is clause 8, part A, number (4); ``P3_2`` is the second sentence of a clause without parts; the number 0
    is the sentence that stands before a part's numbered ones.
    """

    id: str
    clause: str
    ja: str
    en: str


@dataclass(frozen=True)
class Clause:
    """A clause with its sentences in the order of the text. ``number`` 0 is the preamble."""

    id: str
    number: int
    title_ja: str
    title_en: str
    sentences: tuple[Sentence, ...]


def clause(clause_id: str, title_ja: str, title_en: str, *sentences: tuple[str, str, str]) -> Clause:
    """The clause ``P<number>`` with its sentences, each given as (id, Japanese, English)."""
    return Clause(
        id=clause_id,
        number=int(clause_id.removeprefix("P")),
        title_ja=title_ja,
        title_en=title_en,
        sentences=tuple(Sentence(sentence_id, clause_id, ja, en) for sentence_id, ja, en in sentences),
    )
