import re
from dataclasses import FrozenInstanceError
from datetime import date
from itertools import chain

import pytest

from consent.policy_text import CLAUSES, ESTABLISHED, REVISED, sentence

SENTENCES = tuple(chain.from_iterable(clause.sentences for clause in CLAUSES))
ID = re.compile(r"P(\d{1,2})_([A-D]?)(\d{1,2})")
JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
# Japanese letters, and the full-width forms and punctuation that go with them.
JAPANESE_WRITING = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
BOTH_LANGUAGES = [pytest.param(each, id=each.id) for each in SENTENCES]


def place(sentence_id):
    clause, part, number = ID.fullmatch(sentence_id).groups()
    return int(clause), part, int(number)


def test_a_preamble_and_twelve_clauses_stand_in_order():
    assert [(clause.id, clause.number) for clause in CLAUSES] == [(f"P{number}", number) for number in range(13)]


def test_ids_are_unique_well_formed_and_in_the_order_of_the_text():
    ids = [each.id for each in SENTENCES]
    assert all(ID.fullmatch(each) for each in ids)
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids, key=place)


def test_the_ids_of_the_published_revision_stay_as_they_were_stored():
    # Controls, refusals and consent events quote these; a new id belongs to a new revision.
    assert " ".join(each.id for each in SENTENCES) == (
        "P0_1 P0_2 P0_3 P0_4 P1_1 P2_1 P2_2 P2_3 P3_1 P3_2 P3_3 P4_A1 P4_B1 P4_B2 P4_C1 P4_C2 P4_C3 "
        "P5_A1 P5_A2 P5_B1 P5_B2 P5_B3 P6_A1 P6_B1 P6_B2 P6_C1 P7_A0 P7_A1 P7_A2 P7_A3 P7_B1 P7_B2 "
        "P8_A1 P8_A2 P8_A3 P8_A4 P8_B1 P8_B2 P8_B3 P8_B4 P9_1 P9_2 P10_A1 P10_A2 P10_B1 P10_C1 P10_D1 "
        "P11_1 P11_2 P11_3 P11_4 P12_1 P12_2"
    )


def test_every_clause_has_titles_and_sentences_of_its_own():
    for clause in CLAUSES:
        assert JAPANESE.search(clause.title_ja)
        assert clause.title_en
        assert not JAPANESE_WRITING.search(clause.title_en)
        assert clause.sentences
        assert {each.clause for each in clause.sentences} == {clause.id}
        assert all(place(each.id)[0] == clause.number for each in clause.sentences)


@pytest.mark.parametrize("each", BOTH_LANGUAGES)
def test_japanese_is_a_whole_japanese_sentence(each):
    assert JAPANESE.search(each.ja)
    assert each.ja.endswith("。")
    assert "." not in each.ja
    assert each.ja == each.ja.strip()


@pytest.mark.parametrize("each", BOTH_LANGUAGES)
def test_english_is_a_whole_english_sentence(each):
    assert each.en.endswith(".")
    assert each.en[0].isupper()
    assert not JAPANESE_WRITING.search(each.en)
    assert "  " not in each.en


def test_no_two_sentences_are_equal():
    assert len({each.ja for each in SENTENCES}) == len(SENTENCES)
    assert len({each.en for each in SENTENCES}) == len(SENTENCES)


def test_five_groups_of_items_and_ten_purposes_are_listed_in_both_languages():
    for sentence_id, count in (("P2_1", 5), ("P2_2", 10)):
        listed = [str(number) for number in range(1, count + 1)]
        assert re.findall(r"（(\d+)）", sentence(sentence_id).ja) == listed
        assert re.findall(r"\((\d+)\)", sentence(sentence_id).en) == listed


def test_the_transport_sentence_keeps_the_words_that_were_published():
    for text in (sentence("P8_A4").ja, sentence("P8_A4").en):
        assert "SSL" in text
        assert "VeriSign" in text


def test_dates_of_the_policy():
    assert date(2010, 6, 10) == ESTABLISHED
    assert date(2016, 2, 22) == REVISED


def test_every_sentence_is_found_by_its_id_and_an_unknown_id_is_a_key_error():
    assert all(sentence(each.id) is each for each in SENTENCES)
    with pytest.raises(KeyError):
        sentence("P13_1")


def test_a_sentence_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        sentence("P0_1").ja = "変更後の文です。"
