"""firth.glove: from text to vectors. The core's own tests are in core/src/glove/."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import firth
from firth._check import ArgumentError, CorpusError, TrainingError
from firth.learn.glove import CountStep, GloVe, glove, glove_steps
from firth.learn.word2vec import LearnStep
from firth.text import ReadStep

PLACES = {"france": "paris", "italy": "rome", "spain": "madrid", "japan": "tokyo", "greece": "athens"}


def sentences(n, seed=0):
    """Of a language where countries and their capitals keep company mostly of their own (what never meets teaches nothing)."""
    rng = np.random.default_rng(seed)
    every = [word for pair in PLACES.items() for word in (*pair, f"{pair[0]}s", f"{pair[1]}s")]
    for _ in range(n):
        country = list(PLACES)[rng.integers(len(PLACES))]
        words = [country, PLACES[country], f"{country}s", f"{PLACES[country]}s", "the", "of", *rng.choice(every, 2)]
        yield [words[i] for i in rng.integers(0, len(words), 12)]


def test_words_that_keep_company_end_up_near():
    space = glove(list(sentences(4000)), dim=16, epochs=100)
    for country, capital in PLACES.items():
        assert capital in space.ask(country, k=4).labels  # of 22 words; its own four share its company
    assert space.columns["count"].tolist() == sorted(space.columns["count"].tolist(), reverse=True)
    assert space.recipe["method"] == "glove"
    assert space.recipe["options"]["x_max"] == 100
    assert space.recipe["corpus"]["tokens"] == 48_000


def test_a_seed_gives_the_same_bytes_with_any_number_of_threads_and_any_memory():
    rng = np.random.default_rng(5)
    corpus = [[f"w{i}" for i in np.minimum(*rng.integers(0, 2000, (2, 20)))] for _ in range(2000)]
    first = glove(corpus, dim=10, epochs=2, seed=3, threads=1).vectors.tobytes()
    for threads in (1, 2, 3):
        assert glove(corpus, dim=10, epochs=2, seed=3, threads=threads, memory_bytes=1 << 20).vectors.tobytes() == first
    assert glove(corpus, dim=10, epochs=2, seed=4, threads=1).vectors.tobytes() != first


def test_text_and_token_lists_give_the_same_space(tmp_path):
    corpus = list(sentences(200))
    path = tmp_path / "a.txt"
    path.write_text("\n".join(" ".join(words) for words in corpus))
    first, second = glove(path, dim=8), glove(corpus, dim=8)
    assert first.labels.tolist() == second.labels.tolist()
    assert first.vectors.tobytes() == second.vectors.tobytes()


def test_the_loss_falls_to_nothing_where_the_fit_can_be_exact():
    corpus = [["a", "b"]] * 100 + [["a", "c"]] * 10 + [["b", "x"]] * 50 + [["c", "x"]] * 50
    losses = {}
    for epochs in (1, 20_000):
        steps = glove_steps(corpus, GloVe(dim=4, x_max=1, epochs=epochs, threads=1))
        losses[epochs] = [step.loss for step in steps if isinstance(step, LearnStep)][-1]  # a mean over a step
    assert losses[20_000] < losses[1] / 100


def test_any_hashable_items_can_be_learned():
    walks = [[(i % 7, "node"), (i % 5, "node")] for i in range(100)]
    space = glove(walks, dim=4, epochs=1, min_count=1, threads=2)
    assert "(0, 'node')" in space


def test_steps_tell_where_the_work_stands():
    steps = list(glove_steps(list(sentences(5000)), GloVe(dim=32, epochs=4, threads=2)))
    kinds = [type(step) for step in steps]
    assert kinds == sorted(kinds, key=[ReadStep, CountStep, LearnStep].index)
    counted = [step for step in steps if isinstance(step, CountStep)]
    assert counted[-1].done == 1
    assert counted[-1].left_s == 0
    learned = [step for step in steps if isinstance(step, LearnStep)]
    assert learned[-1].done_words == learned[-1].total_words == 4 * 60_000
    assert learned[-1].epoch == 4
    assert learned[-1].left_s == 0
    assert all(step.words_per_s > 0 and step.flops_per_s > 0 and step.loss > 0 for step in learned)


def test_divergence_is_an_error():
    with pytest.raises(TrainingError, match="use a lower rate than 9"):
        glove(list(sentences(3000)), dim=64, rate=9.0, epochs=60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(dim=0), "dim must be in 1..65536; got 0"),
        (dict(window=0), "window must be"),
        (dict(x_max=0), "x_max must be above 0"),
        (dict(alpha=-1), "alpha must be at least 0"),
        (dict(alpha=float("nan")), "alpha must be"),
        (dict(rate=0), "rate must be above 0"),
        (dict(epochs=0), "epochs must be"),
        (dict(seed=-1), "seed must be"),
        (dict(threads=0), "threads must be"),
        (dict(memory_bytes=5), "memory_bytes must be at least 1048576"),
        (dict(min_count=0), "min_count must be at least 1"),
        (dict(tokens="bpe"), "tokens must be one of words, whitespace"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ArgumentError, match=message):
        glove([["a", "b"]] * 9, **options)


def test_sentences_of_one_word_are_a_clear_error():
    with pytest.raises(CorpusError, match="no two words meet"):
        glove([["a"], ["b"]] * 50)


def test_nothing_to_learn_is_a_clear_error():
    with pytest.raises(CorpusError, match=r"min_count = 5 times \(the most frequent one 2 times\)"):
        glove([["a", "b", "a"]])


def test_closing_the_generator_ends_training():
    steps = glove_steps(list(sentences(3000)), GloVe(epochs=1_000_000))
    for step in steps:
        if isinstance(step, LearnStep):
            break
    steps.close()


def test_an_interrupt_keeps_what_was_learned_if_asked_to():
    for keep in (True, False):
        steps = glove_steps(list(sentences(3000)), GloVe(dim=8, epochs=100_000), keep_on_interrupt=keep)
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


@pytest.mark.slow
@pytest.mark.parametrize("during", ["CountStep", "LearnStep"])
def test_control_c_stops_within_half_a_second(during):
    code = (
        "import numpy as np, time\n"
        "from firth.learn.glove import GloVe, glove_steps\n"
        "rng = np.random.default_rng(1)\n"
        "ids = np.minimum(*rng.integers(0, 30_000, (2, 1000, 1000)))\n"
        "steps = glove_steps(ids.tolist(), GloVe(dim=300, epochs=10_000))\n"
        "try:\n"
        "    for step in steps:\n"
        f"        if type(step).__name__ == '{during}': print('at it', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print(time.time())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    sent = time.time()
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    # Half a second is the promise on a quiet machine; the tests' machine may be busy.
    assert float(out.split()[-1]) - sent < 2.0


def test_public_names():
    assert firth.glove is glove
    assert firth.GloVe is GloVe
