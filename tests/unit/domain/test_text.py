"""The terms of a text, and how near a text is to a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.text import bm25_best, bm25_of, stem, terms, whole


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ("\ud83d\ude00 and \U0001f600", "\U0001f600 and \U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("a\ud83db", "a\ufffdb"),
        ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ],
)
def test_halves_of_characters_are_joined_or_replaced(broken: str, expected: str) -> None:
    assert whole(broken) == expected


@given(st.text())
def test_whole_text_stays_as_it_is(text: str) -> None:
    assert whole(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" ,.!? \n", ()),
        ("Tea, TEA; tea.", ("tea", "tea", "tea")),
        ("Anna's café", ("anna", "caf")),
        ("don’t", ("don’t",)),
        ("snake_case and kebab-case", ("snak", "cas", "and", "kebab", "cas")),
        ("room 101b", ("room", "101b")),
        ("Straße", ("strass",)),
        ("ｆｕｌｌ　ｗｉｄｔｈ", ("full", "width")),
        ("Привет, мир", ("привет", "мир")),
        ("我喜欢绿茶", ("我喜", "喜欢", "欢绿", "绿茶")),
        ("茶", ("茶",)),
        ("我用iPhone15拍照", ("我用", "iphone15", "拍照")),
        ("東京タワー", ("東京", "京タ", "タワ", "ワー")),
        ("한국어", ("한국", "국어")),
        ("𠮷野家", ("𠮷野", "野家")),
        ("🙂", ()),
    ],
)
def test_a_text_has_these_terms(text: str, expected: tuple[str, ...]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    "forms",
    [
        ("cat", "cats", "cat's", "cats'"),
        ("city", "cities"),
        ("class", "classes"),
        ("run", "runs", "running"),
        ("make", "makes", "making"),
        ("stop", "stopped", "stopping"),
        ("like", "likes", "liked", "liking"),
        ("fall", "falls", "falling"),
        ("house", "houses"),
        ("play", "played", "playing", "plays"),
    ],
)
def test_forms_of_one_word_meet(forms: tuple[str, ...]) -> None:
    assert len({terms(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("bus", "but"), ("thing", "the"), ("sing", "s"), ("red", "r"), ("this", "thi"), ("spring", "spr")],
)
def test_different_words_stay_apart(one: str, other: str) -> None:
    assert terms(one) != terms(other)


@pytest.mark.parametrize("word", ["tea", "bus", "miss", "this", "sky", "was", "is"])
def test_short_and_irregular_words_are_left_alone(word: str) -> None:
    assert stem(word) == word


@given(st.text())
def test_terms_of_anything_are_clean(text: str) -> None:
    for term in terms(text):
        assert term
        assert not any(letter.isspace() for letter in term)
        assert term == term.lower() or not term.isascii()


@given(st.text(), st.text())
def test_terms_of_two_texts_are_those_of_each(one: str, other: str) -> None:
    assert terms(f"{one}\n{other}") == terms(one) + terms(other)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", min_size=1))
def test_a_stem_is_never_empty_and_never_longer(word: str) -> None:
    assert len(stem(word)) <= len(word)
    assert stem(word) or not word.strip("'s")


def scores(query: str, *documents: str) -> tuple[float, ...]:
    found = bm25_of(*_index(set(terms(query)), [list(terms(document)) for document in documents]))
    return tuple(found.get(at, 0.0) for at in range(len(documents)))


def test_a_text_with_the_rarer_word_is_nearer() -> None:
    often, rarely = scores("green tea", "she likes green", "he likes tea")[0:2]
    assert often == rarely
    often, rarely, *_ = scores("green tea", "she likes green", "he likes tea", "so green", "very green")
    assert rarely > often


def test_a_text_with_both_words_is_nearer_than_one_with_the_same_word_twice() -> None:
    both, twice = scores("green tea", "green tea now", "green green now")
    assert both > twice


def test_of_two_texts_the_shorter_one_is_nearer() -> None:
    short, long = scores("tea", "likes tea", "likes tea and many other things that grow")
    assert short > long


@pytest.mark.parametrize(
    ("query", "documents"), [("", ["tea"]), ("tea", []), ("coffee", ["tea"]), ("tea", [""])]
)
def test_nothing_in_common_is_nothing(query: str, documents: list[str]) -> None:
    assert scores(query, *documents) == (0.0,) * len(documents)


@given(
    st.lists(st.sampled_from(["red", "green", "blue", "black"]), max_size=4),
    st.lists(st.lists(st.sampled_from(["red", "green", "blue", "black"]), max_size=6), max_size=5),
)
def test_nearness_is_between_0_and_1(query: list[str], documents: list[list[str]]) -> None:
    found = bm25_of(*_index(set(query), documents))
    assert all(0 < score < 1 for score in found.values())
    assert found.keys() == {at for at, document in enumerate(documents) if set(query) & set(document)}


WORDS = ("the", "and", "tea", "rain", "maps")


@given(
    st.sets(st.sampled_from(WORDS)),
    st.lists(st.lists(st.sampled_from(("the", *WORDS)), min_size=1, max_size=6), max_size=40),
    st.integers(1, 4),
)
def test_the_best_are_found_without_scoring_all_the_rest(
    query: set[str], documents: list[list[str]], limit: int
) -> None:
    index = _index(query, documents)
    everybody, best = bm25_of(*index), bm25_best(*index, limit)
    least = min(sorted(everybody.values())[-limit:], default=0.0)
    assert best.items() <= everybody.items()
    assert best.keys() >= {at for at, score in everybody.items() if score >= least}


def test_a_word_that_stands_everywhere_is_looked_up_only_for_those_that_may_be_best() -> None:
    index = _index({"the", "tea"}, [["the", "tea"], *[["the", "rain"]] * 50])
    assert bm25_best(*index, 1) == {0: bm25_of(*index)[0]}


def _index(
    query: set[str], documents: list[list[str]]
) -> tuple[dict[str, dict[int, int]], list[int], int, int]:
    """As `bm25_of` takes it."""
    postings = {
        term: {at: document.count(term) for at, document in enumerate(documents) if term in document}
        for term in query
    }
    lengths = [len(document) for document in documents]
    return postings, lengths, len(documents), sum(lengths)
