"""firth.judge: analogies and similarity sets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth._check import ArgumentError, FileFormatError
from firth.judging import EPS, AnalogyReport, SimilarityReport, answer, judge, read_set
from firth.ranks import spearman
from firth.space import Space

CAPITALS = [
    ("athens", "greece", [0, 0]),
    ("berlin", "germany", [3, 1]),
    ("cairo", "egypt", [1, 4]),
    ("oslo", "norway", [5, 5]),
]


@pytest.fixture
def capitals() -> Space:
    """Cities at a point, their countries one step up: every analogy holds exactly."""
    labels, vectors = [], []
    for city, country, place in CAPITALS:
        labels += [city, country]
        vectors += [[*place, 1.0], [*place, 3.0]]
    return Space(labels, np.add(vectors, [0.5, 0.5, 0.0]))


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "set.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def answer_plain(candidates, questions):
    """3CosAdd and 3CosMul by Levy & Goldberg's formulas, one question at a time, in float64."""
    found = []
    for a, b, c in questions:
        near_a, near_b, near_c = cosines = candidates[[a, b, c]].astype(float) @ candidates.astype(float).T
        a1, b1, c1 = (cosines + 1) / 2
        scores = [near_b - near_a + near_c, b1 * c1 / (a1 + EPS)]
        for score in scores:
            score[[a, b, c]] = -np.inf
        found.append([score.argmax() for score in scores])
    return np.array(found)


@pytest.mark.parametrize("n", [5, 300, 2500])
def test_answers_agree_with_the_plain_twin(n):
    rng = np.random.default_rng(n)
    vectors = rng.normal(size=(n, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    questions = rng.integers(0, n, size=(50, 3))
    assert (answer(vectors, questions) == answer_plain(vectors, questions)).mean() > 0.97  # near ties may differ


def test_no_answer_is_left_when_the_question_takes_every_candidate():
    assert (answer(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]])) == -1).all()


def test_analogies_that_hold_exactly_are_all_right(capitals, write):
    lines = [f"{a[0]} {a[1]} {b[0]} {b[1]}" for a in CAPITALS for b in CAPITALS if a is not b]
    report = judge(Space(capitals.labels, capitals.vectors), write(": capitals\n" + "\n".join(lines)))
    assert isinstance(report, AnalogyReport)
    assert (report.total.questions, report.total.covered) == (12, 12)
    assert report.total.cos_mul is not None
    assert report.categories[0].name == "capitals"
    assert report.semantic is None
    assert report.reference == []


def test_the_question_words_are_never_answers(write):
    space = Space(["a", "b", "c", "d"], [[1, 0], [1, 0.1], [1, 0.2], [-1, 0.1]])
    report = judge(space, write(": x\na b c d\n"))
    assert report.total.cos_add == report.total.cos_mul == 1.0


def test_words_are_looked_up_as_written_and_then_in_lower_case(capitals, write):
    assert judge(capitals, write(": x\nAthens GREECE Berlin germany\n")).total.covered == 1
    cased = Space(["Athens", "athens", "b", "c", "d"], np.eye(5))
    report = judge(cased, write("Athens athens 5\nB c 1\n"))
    assert report.covered == 2


def test_only_the_most_frequent_labels_are_asked_for(write):
    space = Space(list("abcde"), np.eye(5) + 0.1, columns={"count": np.array([1, 9, 8, 7, 6])})
    text = ": x\nb c d e\na b c d\n"
    assert judge(space, write(text), restrict=4).total.covered == 1
    assert judge(space, write(text), restrict=None).total.covered == 2
    assert judge(Space(list("abcde"), np.eye(5)), write(text), restrict=4).total.covered == 1
    with pytest.raises(ArgumentError, match="restrict must be"):
        judge(space, write(text), restrict=0)


def test_semantic_and_syntactic_are_told_apart_where_the_names_do(capitals, write):
    text = ": capitals\nathens greece berlin germany\nathens greece paris france\n: gram1-x\ncairo egypt oslo norway\n"
    report = judge(capitals, write(text))
    assert (report.semantic.questions, report.semantic.covered) == (2, 1)
    assert (report.syntactic.questions, report.syntactic.covered) == (1, 1)
    assert [c.name for c in report.categories] == ["capitals", "gram1-x"]


def test_nothing_covered_is_none_not_nan(capitals, write):
    report = judge(capitals, write(": x\nq r s t\n"))
    assert report.total.cos_add is None
    pairs = judge(capitals, write("q r 5\nathens oslo 3\n"))
    assert (pairs.covered, pairs.spearman) == (1, None)


def test_reports_go_to_json(capitals, write):
    report = judge(capitals, write(": x\nathens greece berlin germany\n"))
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["categories"][0]["questions"] == 1
    pairs = judge(capitals, write("athens greece 5\nathens oslo 3\n"))
    assert json.loads(json.dumps(pairs.as_dict(), allow_nan=False))["pairs"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "Word 1,Word 2,Human (mean)\nathens,greece,7\nathens,oslo,1.5\n",
        "# comment\nathens\tgreece\t7\n\nathens\toslo\t1.5\n",
        "athens greece 7\r\nathens oslo 1.5\r\n",
        "word1\tword2\tPOS\tscore\n".replace("POS\t", "") + "athens\tgreece\t7\t99\nathens\toslo\t1.5\t99\n",
    ],
)
def test_pairs_come_with_tabs_commas_spaces_comments_and_headers(capitals, write, text):
    report = judge(capitals, write(text))
    assert isinstance(report, SimilarityReport)
    assert (report.pairs, report.covered, report.spearman) == (2, 2, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (": x\na b c\n", "line 2: four words expected, found 3: 'a b c'"),
        (": x\na b c d\n:\n", "line 3: the name of a category expected"),
        (": x\n", "no questions after line 1"),
        ("", "no questions; analogies"),
        ("# only\n", "no questions; analogies"),
        ("a b 5\na b\n", "line 2: two words and a score expected, found 'a b'"),
        ("a b 5\na b x\n", "line 2: two words and a score expected"),
        ("a b nan\n", "no questions after line 1"),
        ("a b 5\na b inf\n", "line 2: two words and a score"),
        ("a b\n", "line 1: two words and a score expected"),
        (b"a b 5\na \xff 5\n", "line 2: UTF-8 expected, found byte 0xff"),
    ],
)
def test_malformed_sets_name_the_line(write, text, message):
    with pytest.raises(FileFormatError, match=message):
        read_set(write(text))


@given(st.binary(max_size=200) | st.text(alphabet=": abc\n\t,5.#", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path, data):
    path = tmp_path / "set.txt"
    path.write_bytes(data)
    try:
        assert read_set(path).words
    except FileFormatError as error:
        assert str(path) in str(error)


@pytest.mark.oracle
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-10, 10)), min_size=3, max_size=40))
def test_spearman_is_scipys(pairs):
    stats = pytest.importorskip("scipy.stats")
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert spearman(x, y) is None
    else:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_published_figures_stand_beside_the_known_sets(shared_data):
    google = read_set(shared_data / "judge" / "questions-words.txt")
    space = Space(sorted({w.lower() for q in google.words for w in q}), np.random.default_rng(0).normal(size=(905, 8)))
    report = judge(space, shared_data / "judge" / "wordsim353.tsv")
    assert report.pairs == 353
    assert max(reference.total for reference in report.reference) == 65.8
    report = judge(space, shared_data / "judge" / "questions-words.txt", restrict=200)
    assert (report.total.questions, len(report.categories)) == (19_544, 14)
    assert (report.semantic.questions, report.syntactic.questions) == (8_869, 10_675)
    assert [r.total for r in report.reference] == [53.3, 65.7, 69.1, 71.7]


def test_the_figures_are_those_of_an_independent_script(shared_data):
    """The prototype's evalq.py, in brief: unnormalised targets, one product a thousand questions."""
    google = read_set(shared_data / "judge" / "questions-words.txt")
    words = sorted({w.lower() for q in google.words for w in q})
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(len(words), 10)).astype(np.float32)
    index = {word: row for row, word in enumerate(words)}
    asked = np.array([[index[w.lower()] for w in q] for q in google.words])
    for a, b, c, d in asked[rng.permutation(len(asked))[:400]]:  # plant answers, so that some are right
        vectors[d] = vectors[b] - vectors[a] + vectors[c] + rng.normal(size=10) * 0.1
    report = judge(Space(words, vectors), shared_data / "judge" / "questions-words.txt", restrict=None)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = (unit[asked[:, 1]] - unit[asked[:, 0]] + unit[asked[:, 2]]) @ unit.T
    np.put_along_axis(scores, asked[:, :3], -9, axis=1)
    expected = (scores.argmax(axis=1) == asked[:, 3]).mean()
    assert expected > 0.01
    assert report.total.cos_add == pytest.approx(expected, abs=2 / len(asked))
