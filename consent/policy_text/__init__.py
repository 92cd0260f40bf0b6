"""The published privacy policy, sentence by sentence, in Japanese and English.

It says what members were promised, and nothing about how the console keeps it.
"""

from consent.policy_text.clause import Clause, Sentence
from consent.policy_text.revision_2016 import CLAUSES, ESTABLISHED, REVISED

__all__ = ["CLAUSES", "ESTABLISHED", "REVISED", "Clause", "Sentence", "sentence"]

_BY_ID = {each.id: each for clause in CLAUSES for each in clause.sentences}


def sentence(sentence_id: str, /) -> Sentence:
    """The sentence of that id. Raises KeyError when the policy has none."""
    return _BY_ID[sentence_id]
