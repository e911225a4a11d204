"""firth.Space."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import firth
from firth._check import ArgumentError, ExpressionError, FileFormatError, LabelError, ShapeError
from firth.space import Space


@pytest.fixture
def family():
    vectors = [[1, 0, 0, 0.1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0.1], [0, 0, 0, 1], [0, 0, 0, 0]]
    labels = ["man", "woman", "king", "queen", "well-known", "nothing"]
    return Space(labels, vectors, columns={"count": [5, 4, 9, 2, 3, 1]}, recipe={"method": "hand"})


def test_it_is_a_read_only_mapping(family):
    assert len(family) == 6
    assert "king" in family
    assert "kong" not in family
    assert list(family)[:2] == ["man", "woman"]
    np.testing.assert_array_equal(family["king"], [1, 0, 1, 0])
    np.testing.assert_array_equal(family[["king", "man"]], family.vectors[[2, 0]])
    assert dict(family.items()).keys() == set(family.labels)
    for array in (family.vectors, family.labels, family.columns["count"], family["king"], family.norms):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(TypeError):
        family.columns["x"] = 1
    assert repr(family) == "<Space: 6 labels x 4 dimensions by hand (man, woman, king, ...)>"


def test_ask_leaves_out_the_question(family):
    hits = family.ask("king - man + woman", k=1)
    assert hits.labels.tolist() == ["queen"]
    assert family.ask("king", k=1, include_question=True).labels.tolist() == ["king"]
    assert "queen" not in family.ask("king - man + woman", exclude=["queen"]).labels
    assert len(family.ask("king", k=100).labels) == 5
    assert family.rows(hits.labels).tolist() == hits.rows.tolist()


@pytest.mark.parametrize("metric", ["dot", "cosine", "scaled", "euclidean"])
def test_ask_is_top_k_of_the_expression(family, metric):
    hits = family.ask("2*king - man", k=6, metric=metric, include_question=True)
    unit = family.vectors / np.where(family.norms, family.norms, 1)[:, None] if metric == "cosine" else family.vectors
    found = firth.top_k(2 * unit[2].astype(float) - unit[0], family.vectors, 6, metric=metric)
    np.testing.assert_array_equal(hits.rows, found.rows)
    np.testing.assert_allclose(hits.scores, found.scores, rtol=1e-6, atol=1e-6)  # unit vectors above are float32


def test_nearest_takes_labels_and_vectors(family):
    assert family.nearest("king", 1).labels.tolist() == ["king"]
    assert family.nearest(["king", "man"], 2).labels.shape == (2, 2)
    np.testing.assert_array_equal(
        family.nearest(family.vectors, 3).rows, firth.top_k(family.vectors, family.vectors, 3, metric="cosine").rows
    )
    with pytest.raises(ShapeError, match="agree on d"):
        family.nearest([1.0, 2.0])
    with pytest.raises(ArgumentError, match="k must be in 1..6"):
        family.nearest("king", 7)


FILTERS = ["count > 3 and label != 'king'", [True, True, False, False, False, False]]


@pytest.mark.parametrize("where", FILTERS)
def test_only_what_a_filter_allows_answers(family, where):
    assert family.mask(where).tolist() == FILTERS[1]
    assert family.ask("king", where=where).labels.tolist() == ["man", "woman"]
    assert family.ask("king - man", where=where).labels.tolist() == ["woman"]
    assert family.nearest("queen", 2, where=where).labels.tolist() == ["woman", "man"]
    assert family.within("queen", -1, where=where).labels.tolist() == ["woman", "man"]
    assert family.take(where).labels.tolist() == ["man", "woman"]
    with pytest.raises(ArgumentError, match=r"k must be in 1..2 \(the number of keys allowed\); got 3"):
        family.nearest("queen", 3, where=where)
    with pytest.raises(ArgumentError, match="all 6 labels are in the question, excluded or filtered out"):
        family.ask("man + woman", where=where)


def test_filters_that_do_not_fit_are_told(family):
    with pytest.raises(ExpressionError, match="there is no column 'size'; the columns are label, count"):
        family.nearest("king", 1, where="size > 3")
    for where in ([True], np.ones(6)):
        with pytest.raises(ShapeError, match="where must be 6 booleans, one for each row"):
            family.ask("king", where=where)


@pytest.mark.parametrize("metric", ["dot", "cosine", "scaled", "euclidean"])
def test_within_is_what_nearest_finds_down_to_a_score(family, metric):
    nearest = family.nearest(["king", "queen"], 6, metric=metric)
    least = nearest.scores[0, 3]
    found = family.within(["king", "queen"], least, metric=metric)
    for query in range(2):
        part = slice(found.starts[query], found.starts[query + 1])
        kept = nearest.scores[query] >= least
        assert found.labels[part].tolist() == nearest.labels[query][kept].tolist()
        assert found.scores[part].tolist() == nearest.scores[query][kept].tolist()
    if metric == "euclidean":
        assert (
            family.within("king", radius=-least, metric=metric).rows.tolist() == found.rows[: found.starts[1]].tolist()
        )


def test_neighbors_and_duplicates_of_a_space(family):
    graph = family.neighbors(2, metric="euclidean")
    np.testing.assert_array_equal(graph.rows, firth.neighbors(family.vectors, 2, metric="euclidean").rows)
    pairs = family.duplicates(radius=1.0, metric="euclidean")
    assert pairs.rows.tolist() == firth.duplicates(family.vectors, -1.0, metric="euclidean").rows.tolist()
    assert [0, 5] not in pairs.rows.tolist()  # further apart than 1, by 0.1 ** 2


def test_cosine_with_nothing_is_zero(family):
    assert family.ask("nothing", k=5).scores.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ("kng - man", LabelError, r"'kng' is not in the space: did you mean 'king'\?\n  kng - man\n  \^\^\^"),
        ("King", LabelError, "did you mean 'king'"),
        ("qeen", LabelError, "did you mean 'queen'"),
        ("qween", LabelError, "did you mean 'queen'"),
        ("xyzzy", LabelError, r"'xyzzy' is not in the space\n"),
        ("man - well-known", LabelError, 'well-known.* is: quote it: "well-known"'),
        ("king -", ExpressionError, "expected"),
    ],
)
def test_wrong_words_are_shown_with_what_is_near(family, question, error, message):
    with pytest.raises(error, match=message):
        family.ask(question)
    if error is LabelError:
        with pytest.raises(KeyError):
            family.ask(question)


def test_everything_excluded_is_an_error(family):
    with pytest.raises(ArgumentError, match="nothing is left"):
        family.ask("king", exclude=list(family))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["a", "b", "a"], np.ones((3, 2))), ArgumentError, "'a' stands in rows 0 and 2"),
        ((["a", 1], np.ones((2, 2))), ArgumentError, "row 1 is 1"),
        ((["a"], np.ones((2, 2))), ShapeError, "1 labels and vectors"),
        (([], np.ones((0, 2))), ShapeError, "at least one row"),
        ((["a"], [[1.0, np.nan]]), ArgumentError, "row 0, dimension 1 is nan"),
        ((["a"], [[1.0, np.inf]]), ArgumentError, "must be finite"),
        ((["a"], [1.0]), ShapeError, r"shape \(n, d\)"),
        ((["a"], np.ones((1, 0))), ShapeError, "d at least 1"),
    ],
)
def test_a_space_refuses_what_it_cannot_hold(arguments, error, message):
    with pytest.raises(error, match=message):
        Space(*arguments)


def test_columns_must_fit():
    with pytest.raises(ShapeError, match="column 'count' must have one value"):
        Space(["a"], [[1.0]], columns={"count": [1, 2]})
    with pytest.raises(ArgumentError, match="cannot be called 'label'"):
        Space(["a"], [[1.0]], columns={"label": [1]})


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ([[1.0, 2.0]], ShapeError, r"one row of m numbers, for each of the 2 labels; got \(1, 2\)"),
        ([[1.0], [2.0, 3.0]], ShapeError, "column 'x' must have one value, or one row of m numbers"),
        (np.zeros((2, 1, 1)), ShapeError, r"got \(2, 1, 1\)"),
        (np.zeros((2, 0)), ShapeError, "column 'x' must have the shape .*, d at least 1"),
        (3.0, ShapeError, r"got \(\)"),
        ([["a"], ["b"]], ArgumentError, "column 'x' must be numbers"),
        ([[1.0], [np.inf]], ArgumentError, "column 'x' must be finite; row 1, dimension 0 is inf"),
    ],
)
def test_a_column_is_a_value_or_a_row_of_numbers_a_label(column, error, message):
    with pytest.raises(error, match=message):
        Space(["a", "b"], [[1.0], [2.0]], columns={"x": column})


def test_a_column_with_a_width_goes_where_its_rows_go(tmp_path):
    wide = np.arange(12).reshape(4, 3)
    space = Space(list("abcd"), np.eye(4), columns={"wide": wide, "count": [1, 3, 4, 2]})
    assert space.columns["wide"].dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        space.columns["wide"][0] = 0
    assert space.take([2, 0]).columns["wide"].tolist() == wide[[2, 0]].tolist()
    space.save(tmp_path / "wide.space")
    opened = Space.open(tmp_path / "wide.space")
    assert opened.columns["wide"].tobytes() == wide.astype(np.float32).tobytes()
    assert not opened.columns["wide"].flags.owndata
    assert not opened.columns["wide"].flags.writeable
    assert opened.columns["count"].tolist() == [1, 3, 4, 2]


def test_a_count_with_a_width_orders_nothing():
    assert Space(["a", "b"], np.eye(2), columns={"count": np.eye(2)}).most_frequent(2).tolist() == [0, 1]


def predict_plain(space, context, k, left_out=()):
    """What predict means."""
    h = np.mean([space[word].astype(np.float64) for word in context], axis=0)
    scores = space.columns["context"].astype(np.float64) @ h
    order = [row for row in np.argsort(-scores, kind="stable") if space.labels[row] not in left_out][:k]
    return order, scores[order]


@pytest.fixture(scope="module")
def predictor():
    rng = np.random.default_rng(5)
    labels = [f"w{i}" for i in range(300)] + ["new york", "don't"]
    return Space(labels, rng.standard_normal((302, 9)), columns={"context": rng.standard_normal((302, 9))})


@given(st.lists(st.integers(0, 299), min_size=1, max_size=6), st.integers(1, 400), st.booleans())
def test_predict_is_what_its_plain_twin_says(predictor, rows, k, include):
    context = [f"w{row}" for row in rows]
    hits = predictor.predict(context, k, include_context=include)
    order, scores = predict_plain(predictor, context, k, () if include else context)
    assert hits.rows.tolist() == order
    assert hits.labels.tolist() == predictor.labels[order].tolist()
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-12, atol=1e-12)


def test_where_context_and_vectors_are_the_same_one_word_predicts_its_nearest_by_dot(family):
    space = Space(family.labels, family.vectors, columns={"context": family.vectors})
    found, near = space.predict("king", 6, include_context=True), space.nearest("king", 6, metric="dot")
    assert found.rows.tolist() == near.rows.tolist()
    assert found.scores.tolist() == near.scores.tolist()


def test_a_context_is_split_at_white_space_and_quotes_hold_spaces(predictor):
    for text in (" w1\t'new york'  don't\n", 'w1 "new york" don\'t', ["w1", "new york", "don't"]):
        assert (
            predictor.predict(text, 3).rows.tolist() == predictor.predict(["don't", "new york", "w1"], 3).rows.tolist()
        )
    twice = predictor.predict("w1 w1 w2", 1).scores[0]
    assert twice == pytest.approx(predict_plain(predictor, ["w1", "w1", "w2"], 1, ("w1", "w2"))[1][0])


def test_score_is_the_sigmoid_of_the_score_in_predict(predictor):
    hits = predictor.predict("w1 w2", 400)
    shares = np.array([predictor.score(label, "w1 w2") for label in hits.labels])
    np.testing.assert_allclose(shares, 1 / (1 + np.exp(-hits.scores)), rtol=1e-12)
    assert (np.diff(shares) <= 0).all()
    pair = [predictor.score("w9", word) for word in ("w1", "w2")]  # the odds are the geometric mean of the pairs'
    odds = [share / (1 - share) for share in (*pair, predictor.score("w9", "w1 w2"))]
    assert odds[2] == pytest.approx(np.sqrt(odds[0] * odds[1]), rel=1e-6)
    far = Space(["a", "b"], [[1e5], [1.0]], columns={"context": [[-1.0], [1.0]]})
    assert [far.score(label, "a") for label in "ab"] == [0.0, 1.0]


@pytest.mark.parametrize(
    "ask", [lambda space, context: space.predict(context), lambda space, context: space.score("w1", context)]
)
def test_contexts_that_cannot_be_scored_are_told(predictor, family, ask):
    with pytest.raises(LabelError, match=r"'W2' is not in the space: did you mean 'w2'\?"):
        ask(predictor, "w1 W2")
    with pytest.raises(ArgumentError, match="one word or more"):
        ask(predictor, "  ")
    with pytest.raises(ArgumentError, match=r"no column 'context'.* keep_context=True \(--keep-context\)"):
        ask(family, "king")
    wrong = Space(["w1"], [[1.0, 2.0]], columns={"context": [[1.0, 2.0, 3.0]]})
    with pytest.raises(ShapeError, match=r"as the vectors, \(1, 2\); got \(1, 3\)"):
        ask(wrong, "w1")


def test_nothing_left_to_predict_is_an_error():
    space = Space(["a", "b"], np.eye(2), columns={"context": np.eye(2)})
    with pytest.raises(ArgumentError, match="nothing is left"):
        space.predict("a b")
    with pytest.raises(LabelError, match="'c' is not in the space"):
        space.score("c", "a")


def test_rows_can_be_taken_by_frequency(family):
    rows = family.most_frequent(3)
    assert family.labels[rows].tolist() == ["king", "man", "woman"]
    part = family.take(rows)
    assert part.columns["count"].tolist() == [9, 5, 4]
    assert part.recipe == family.recipe
    assert family.take(family.columns["count"] > 4).labels.tolist() == ["man", "king"]
    assert Space(["a", "b"], [[1.0], [2.0]]).most_frequent(9).tolist() == [0, 1]


def test_saved_and_opened_it_is_the_same(family, tmp_path):
    path = tmp_path / "family.space"
    family.save(path)
    family.save(path)  # over an older one
    opened = Space.open(path)
    assert opened.labels.tolist() == family.labels.tolist()
    np.testing.assert_array_equal(opened.vectors, family.vectors)
    assert opened.columns["count"].tolist() == family.columns["count"].tolist()
    assert opened.recipe == family.recipe
    assert opened.recipe["firth"] == firth.__version__
    assert not opened.vectors.flags.owndata
    assert opened.ask("king - man + woman", k=1).labels[0] == "queen"
    assert os.listdir(tmp_path) == ["family.space"]


def test_a_missing_folder_is_named(family, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        family.save(tmp_path / "no" / "x.space")
    with pytest.raises(FileNotFoundError):
        Space.open(tmp_path / "no.space")
    (tmp_path / "foreign.space").write_text("hello")
    with pytest.raises(FileFormatError, match=r"foreign\.space: not a \.space file"):
        Space.open(tmp_path / "foreign.space")


@pytest.mark.slow
def test_a_save_that_is_killed_leaves_the_old_file(family, tmp_path):
    path = tmp_path / "family.space"
    family.save(path)
    before = path.read_bytes()
    code = (
        "import numpy as np, firth, sys\n"
        "space = firth.Space(map(str, range(200_000)), np.ones((200_000, 200), np.float32))\n"
        "print('ready', flush=True)\n"
        f"while True: space.save({str(path)!r} + '.big'); space.take(range(9)).save({str(path)!r} + '.small')\n"
    )
    for delay in (0.0, 0.05, 0.15):
        child = subprocess.Popen([sys.executable, "-c", code.replace("+ '.big'", "")], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert path.read_bytes() == before or len(Space.open(path)) == 200_000
        family.save(path)


def test_the_way_between_two_labels_is_a_great_circle():
    angles = np.radians([0, 10, 20, 30, 40, 50, 60])
    labels = [f"{angle:.0f}" for angle in np.degrees(angles)]
    lengths = np.arange(1, 8)[:, None]
    space = Space([f"w{label}" for label in labels], lengths * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    hits = space.between("w0", "w60")
    assert hits.labels.tolist() == list(space)
    np.testing.assert_allclose(hits.scores, 1, atol=1e-6)  # float32
    assert space.between("w0", "w60", 3).labels.tolist() == ["w0", "w30", "w60"]
    assert space.between("w0", "w60", 3, where="label != 'w30'").labels[1] in ("w20", "w40")
    line = space.between("w0", "w60", 3, metric="euclidean")
    middle = space[["w0", "w60"]].mean(axis=0)
    assert line.scores[1] == pytest.approx(-np.linalg.norm(space[line.labels[1]] - middle))
    assert space.between("w0", "w0", 2).labels.tolist() == ["w0", "w0"]


def test_between_refuses_ends_without_a_way():
    space = Space(["a", "b", "c", "zero"], [[1, 0], [-1, 0], [0, 1], [0, 0]])
    with pytest.raises(ArgumentError, match="'a' and 'b' are opposite"):
        space.between("a", "b")
    assert space.between("a", "b", 3, metric="euclidean").labels.tolist() == ["a", "zero", "b"]
    with pytest.raises(ArgumentError, match="is zero"):
        space.between("a", "zero")
    with pytest.raises(ArgumentError, match="steps must be at least 2"):
        space.between("a", "c", 1)
    with pytest.raises(LabelError):
        space.between("a", "d")
