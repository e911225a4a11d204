"""firth.word2vec: skip-gram from text to vectors. The kernel's own tests are in core/src/skipgram.rs."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import firth
from firth._check import ArgumentError, CorpusError, TrainingError
from firth.learn.word2vec import LearnStep, SkipGram, word2vec, word2vec_steps
from firth.space import Space
from firth.text import ReadStep

PLACES = {"france": "paris", "italy": "rome", "spain": "madrid", "japan": "tokyo", "greece": "athens"}


def sentences(n, seed=0):
    """Of a language where countries and their capitals keep company of their own."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        country = list(PLACES)[rng.integers(len(PLACES))]
        words = [country, PLACES[country], f"{country}s", f"{PLACES[country]}s", "the", "of"]
        yield [words[i] for i in rng.integers(0, len(words), 12)]


@pytest.mark.parametrize(("learn", "method"), [(word2vec, "word2vec"), (firth.cbow, "cbow")])
def test_words_that_keep_company_end_up_near(learn, method):
    space = learn(list(sentences(4000)), dim=16, epochs=3, sample=0, threads=1)
    for country, capital in PLACES.items():
        assert capital in space.ask(country, k=4).labels  # of 22 words; its own four share its company
    assert space.columns["count"].tolist() == sorted(space.columns["count"].tolist(), reverse=True)
    assert space.recipe["method"] == method
    assert space.recipe["options"]["dim"] == 16
    assert space.recipe["corpus"]["tokens"] == 48_000


@pytest.mark.parametrize("learn", [word2vec, firth.cbow])
def test_a_vocabulary_of_a_few_words_does_not_overshoot(learn):
    # All gradients of a block are taken at its start; were it not shorter here, those of two words would add up and diverge.
    space = learn([["a", "b"] * 50] * 400, dim=16, epochs=3, sample=0, threads=1)
    assert np.abs(space.vectors).max() < 20


def test_one_thread_and_a_seed_give_the_same_bytes():
    corpus = list(sentences(300))
    first, again, other = (word2vec(corpus, dim=10, seed=s, threads=1).vectors for s in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_text_and_token_lists_give_the_same_space(tmp_path):
    corpus = list(sentences(200))
    path = tmp_path / "a.txt"
    path.write_text("\n".join(" ".join(words) for words in corpus))
    first, second = word2vec(path, dim=8, threads=1), word2vec(corpus, dim=8, threads=1)
    assert first.labels.tolist() == second.labels.tolist()
    assert first.vectors.tobytes() == second.vectors.tobytes()


def test_any_hashable_items_can_be_learned():
    walks = [[(i % 7, "node"), (i % 5, "node")] for i in range(100)]
    space = word2vec(walks, dim=4, epochs=1, min_count=1, threads=2)
    assert "(0, 'node')" in space


def test_steps_tell_where_the_work_stands():
    steps = list(word2vec_steps(list(sentences(5000)), SkipGram(dim=32, epochs=4, threads=2)))
    learned = [step for step in steps if isinstance(step, LearnStep)]
    assert isinstance(steps[0], ReadStep)
    assert learned[-1].done_words == learned[-1].total_words == 4 * 60_000
    assert learned[-1].epoch == 4
    assert learned[-1].left_s == 0
    assert all(step.words_per_s > 0 and step.flops_per_s > 0 and step.loss > 0 for step in learned)
    assert [step.done_words for step in learned] == sorted(step.done_words for step in learned)


def test_the_loss_starts_where_it_must_and_falls():
    steps = word2vec_steps(list(sentences(20_000)), SkipGram(dim=16, epochs=20, threads=1))
    losses = [step.loss for step in steps if isinstance(step, LearnStep)]
    # Vectors of context start at zero: log 2 for a pair and for each of its five noise words.
    assert losses[0] <= 6 * np.log(2) + 1e-3
    assert losses[-1] < 0.8 * 6 * np.log(2)


def test_divergence_is_an_error():
    with pytest.raises(TrainingError, match="use a lower alpha than 9"):
        word2vec(list(sentences(3000)), dim=64, alpha=9.0, epochs=60, threads=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(dim=0), "dim must be in 1..65536; got 0"),
        (dict(window=0), "window must be"),
        (dict(negatives=0), "negatives must be"),
        (dict(sample=-1), "sample must be at least 0"),
        (dict(sample=float("nan")), "sample must be"),
        (dict(alpha=0), "alpha must be above 0"),
        (dict(epochs=0), "epochs must be"),
        (dict(seed=-1), "seed must be"),
        (dict(threads=0), "threads must be"),
        (dict(min_count=0), "min_count must be at least 1"),
        (dict(tokens="bpe"), "tokens must be one of words, whitespace"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ArgumentError, match=message):
        word2vec([["a", "b"]] * 9, **options)


def test_sentences_of_one_word_teach_nothing_and_do_no_harm():
    space = word2vec([["a"], ["b"]] * 50, dim=4, epochs=2, threads=1)
    assert np.isfinite(space.vectors).all()


def test_nothing_to_learn_is_a_clear_error():
    with pytest.raises(CorpusError, match=r"min_count = 5 times \(the most frequent one 2 times\)"):
        word2vec([["a", "b", "a"]])


def test_closing_the_generator_ends_training():
    steps = word2vec_steps(list(sentences(3000)), SkipGram(epochs=10_000))
    for step in steps:
        if isinstance(step, LearnStep):
            break
    steps.close()


def test_an_interrupt_keeps_what_was_learned_if_asked_to():
    for keep in (True, False):
        steps = word2vec_steps(list(sentences(3000)), SkipGram(dim=8, epochs=10_000), keep_on_interrupt=keep)
        while not isinstance(next(steps), LearnStep):
            pass
        if keep:
            with pytest.raises(StopIteration) as end:
                steps.throw(KeyboardInterrupt)
            assert 0 < end.value.value.recipe["interrupted_at"] < 1
            assert len(end.value.value) == 22
        else:
            with pytest.raises(KeyboardInterrupt):
                steps.throw(KeyboardInterrupt)


# The output vectors, and going on


def test_output_vectors_are_kept_if_asked_for():
    corpus = list(sentences(300))
    plain, kept = (word2vec(corpus, dim=10, threads=1, keep_context=keep) for keep in (None, True))
    assert list(plain.columns) == ["count"]
    assert kept.columns["context"].shape == (22, 10)
    assert kept.columns["context"].any(axis=1).all()
    assert kept.vectors.tobytes() == plain.vectors.tobytes()


def test_a_word_is_predicted_from_its_company():
    space = word2vec(list(sentences(4000)), dim=16, epochs=3, sample=0, threads=1, keep_context=True)
    for country, capital in PLACES.items():
        company = [f"{country}s", f"{capital}s", "the"]
        assert set(space.predict(company, 2).labels) == {country, capital}
        stranger = next(other for other in PLACES if other != country)
        assert space.score(country, company) > space.score(stranger, company)


@pytest.fixture(scope="module")
def first():
    """Learned from sentences about the places, and others that no later text speaks of."""
    old = [["castle", "moat", "tower", "drawbridge"], ["moat", "castle", "drawbridge", "tower"]] * 30
    space = word2vec([*sentences(2000), *old], dim=16, epochs=2, sample=0, threads=1, keep_context=True)
    return Space(
        space.labels, space.vectors, columns={**space.columns, "size": np.arange(len(space))}, recipe=space.recipe
    )


def test_going_on_the_vocabulary_grows_and_old_rows_keep_their_meaning(first):
    more = [*sentences(1500, seed=5), *([["oslo", "norway", "the", "rare"], ["norway", "oslo", "of"]] * 40), ["once"]]
    space = word2vec(more, start=first, sample=0, threads=1)
    assert set(space) == set(first) | {"oslo", "norway", "rare"}
    assert space.vectors.shape == space.columns["context"].shape == (29, 16)
    counts = collections.Counter(word for words in more for word in words)
    for label, count in zip(space.labels, space.columns["count"], strict=True):
        before = first.columns["count"][first.index[label]] if label in first else 0
        assert count == before + counts[label]
    assert (np.diff(space.columns["count"]) <= 0).all()
    absent = ["castle", "moat", "tower", "drawbridge"]
    assert space[absent].tobytes() == first[absent].tobytes()
    assert not np.array_equal(space["france"], first["france"])
    assert (space.rows(absent) != first.rows(absent)).any()  # rows of words that became more frequent lie before theirs
    assert "moat" in space.ask("castle", 4).labels
    assert "paris" in space.ask("france", 4).labels
    assert "norway" in space.ask("oslo", 3).labels


def test_going_on_without_a_word_in_common_leaves_every_old_vector(first):
    space = word2vec([["a", "b", "c"]] * 20, start=first, threads=1)
    assert space[list(first)].tobytes() == first.vectors.tobytes()
    moved = space.columns["context"][space.rows(first)] != first.columns["context"]
    assert moved.any()  # as noise words
    assert len(space) == len(first) + 3


def test_going_on_with_a_rate_of_nothing_is_standing_still(first):
    space = word2vec(list(sentences(200, seed=3)), start=first, alpha=1e-30, threads=1)
    rows = space.rows(first)
    assert space.vectors[rows].tobytes() == first.vectors.tobytes()
    assert space.columns["context"][rows].tobytes() == first.columns["context"].tobytes()


def test_going_on_lowers_the_loss_at_which_a_text_begins(first):
    more, options = list(sentences(3000, seed=7)), SkipGram(dim=16, threads=1, epochs=1)
    losses = [
        next(step.loss for step in word2vec_steps(more, options, start=start) if isinstance(step, LearnStep))
        for start in (None, first)
    ]
    assert losses[1] < 0.9 * losses[0]


def test_columns_go_on_where_every_row_has_a_value(first, tmp_path):
    first.save(tmp_path / "first.space")
    opened = Space.open(tmp_path / "first.space")
    same = word2vec(list(sentences(200)), start=opened, threads=1, keep_context=False)
    assert list(same.columns) == ["count", "size"]
    assert same.columns["size"].tolist() == first.rows(same.labels).tolist()
    assert "dropped_columns" not in same.recipe
    grown = word2vec([["a", "b"]] * 9, start=first, threads=1)
    assert list(grown.columns) == ["count", "context"]
    assert grown.recipe["dropped_columns"] == ["size"]


def test_the_recipe_keeps_the_earlier_ones(first):
    second = word2vec([["a", "b"]] * 9, start=first, threads=1)
    third = word2vec([["a", "c"]] * 9, start=second, threads=1)
    assert second.recipe["continued"] == [first.recipe]
    assert [recipe["corpus"]["tokens"] for recipe in third.recipe["continued"]] == [24_240, 18]
    assert "continued" not in third.recipe["continued"][1]
    assert third.recipe["options"]["dim"] == 16


def test_what_cannot_be_gone_on_from_is_told(first):
    bare = Space(first.labels, first.vectors, columns={"count": first.columns["count"]})
    wrong = {"context": np.ones((len(first), 3)), "count": first.columns["count"]}
    vague = {"context": first.vectors, "count": np.ones(len(first))}
    for start, dim, message in [
        (bare, None, r"a column 'context' .* it has count; learn it with keep_context=True \(--keep-context\)"),
        (first, 8, "dim must be that of the space to go on from, 16; got 8"),
        (Space(first.labels, first.vectors, columns=wrong), None, r"as its vectors, \(26, 16\); got \(26, 3\)"),
        (Space(first.labels, first.vectors, columns=vague), None, "counts, whole numbers"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            word2vec(list(sentences(50)), start=start, dim=dim)
    with pytest.raises(
        ArgumentError, match="learned by word2vec, whose vectors mean something else to cbow; go on by word2vec"
    ):
        firth.cbow(list(sentences(50)), start=first)
    with pytest.raises(ArgumentError, match="16; got 100"):
        next(word2vec_steps(list(sentences(50)), SkipGram(), start=first))


@pytest.mark.parametrize("level", ["portable", "avx2", "avx512", "neon", "mmx"])
def test_the_instruction_set_can_be_forced(level):
    code = "from firth import _core; print(_core.simd_level())"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "FIRTH_SIMD": level}, capture_output=True, text=True
    )
    if level == "portable":
        assert run.stdout.strip() == level
    elif level == "mmx":
        assert "FIRTH_SIMD must be one of portable, avx2, avx512, neon" in run.stderr
    else:  # this machine may lack it
        assert run.stdout.strip() == level or "does not have it" in run.stderr


@pytest.mark.slow
def test_control_c_stops_within_half_a_second():
    code = (
        "import firth, time\n"
        "steps = firth.learn.word2vec.word2vec_steps([['a', 'b', 'c', 'd']] * 200_000, firth.SkipGram(dim=300, epochs=10_000))\n"
        "try:\n"
        "    for step in steps:\n"
        "        if hasattr(step, 'loss'): print('training', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print(time.time())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", "import firth.learn.word2vec\n" + code], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    import time

    child.stdout.readline()
    time.sleep(0.4)
    sent = time.time()
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    # Half a second is the promise on a quiet machine; the tests' machine may be busy.
    assert float(out.split()[-1]) - sent < 2.0


def test_public_names():
    assert firth.word2vec is word2vec
    assert firth.SkipGram is SkipGram
