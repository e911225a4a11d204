"""firth.language: a language model, its training, what is inside it, and its commands."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import firth
from firth import _check
from firth.cost import parts, total
from firth.language import training
from firth.language.company import baselines, kneser_ney
from firth.language.model import Architecture, from_named, logits, named, patterns, rotate, start, streams
from firth.language.training import Training, TrainStep, cross_entropy, loss_of, train_steps, windows
from firth.language.transformer import LanguageModel, _drawn, transformer_steps
from firth.language.vocabulary import Bpe, read_bpe, read_words
from firth.ops import softmax
from firth.steps import drain
from firth.text import Reading
from tests.test_cli import ENVIRONMENT, FIRTH, run

jax = pytest.importorskip("jax")
SMALL = Architecture(dim=16, layers=2, heads=2, context=8)
LEARNED = replace(SMALL, positions="learned")
V = 11
SENTENCES = [
    ["the", "king", "saw", "a", "cat"],
    ["a", "queen", "met", "the", "dog"],
    ["the", "cat", "met", "the", "king"],
]


def random_tokens(*shape, seed=0, v=V):
    return np.random.default_rng(seed).integers(0, v, shape)


# The model


@pytest.mark.parametrize("architecture", [SMALL, LEARNED], ids=["rope", "learned"])
def test_the_loss_has_the_slope_of_central_differences(architecture):
    window, random = random_tokens(3, 9), np.random.default_rng(1)
    step = 1e-6  # embeddings are small, so curvature is large, 1e5 times step^2; and eps / step = 2e-10
    with jax.enable_x64(True):
        at = jax.tree.map(lambda weights: jax.numpy.asarray(weights, "float64"), start(architecture, V, 1))
        change = jax.tree.map(lambda weights: jax.numpy.asarray(random.standard_normal(weights.shape)), at)
        loss = loss_of(architecture)
        value, slopes = jax.jit(loss), dict(named(jax.jit(jax.grad(loss))(at, window)))
        for name, along in named(change):
            moved = (
                value(from_named(dict(named(at)) | {name: dict(named(at))[name] + sign * step * along}), window)
                for sign in (1, -1)
            )
            up, down = moved
            expected = float(up - down) / (2 * step)
            assert float((slopes[name] * along).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-9), name


def test_cross_entropy_in_chunks_is_the_plain_one(monkeypatch):
    random, targets = np.random.default_rng(0), random_tokens(2, 6, v=7)

    def plain(hidden, table):
        return -jax.nn.log_softmax(hidden @ table.T)[np.arange(2)[:, None], np.arange(6), targets].mean()

    with jax.enable_x64(True):
        given = (
            jax.numpy.asarray(random.standard_normal((2, 6, 5))),
            jax.numpy.asarray(random.standard_normal((7, 5))),
        )
        expected, slopes = jax.value_and_grad(plain, (0, 1))(*given)
        for places in (1, 2, 100):  # of 6 a chunk
            monkeypatch.setattr(training, "LOGITS_BYTES", places * 4 * 2 * 7)
            found, own = jax.value_and_grad(lambda h, e: cross_entropy(h, e, jax.numpy.asarray(targets)), (0, 1))(
                *given
            )
            assert float(found) == pytest.approx(float(expected), rel=1e-12)
            assert float(cross_entropy(*given, targets)) == pytest.approx(float(expected), rel=1e-12)
            for one, other in zip(own, slopes, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


def macs(jaxpr) -> int:
    """Multiply-accumulates of all products in it."""
    found = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            sizes = equation.invars[0].aval.shape
            found += math.prod(equation.outvars[0].aval.shape) * math.prod(sizes[axis] for axis in contracted)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += macs(inner) * equation.params.get("length", 1)
    return found


@pytest.mark.parametrize("architecture", [SMALL, LEARNED, replace(SMALL, hidden=24, heads=1, layers=3)])
def test_parameters_and_products_are_those_that_cost_counts(architecture):
    model, counted = start(architecture, V), architecture.cost(V)
    assert sum(weights.size for _, weights in named(model)) == counted.parameters
    b, t = 3, architecture.context
    tokens = jax.numpy.asarray(random_tokens(b, t + 1))
    told = b * total(parts(counted)).macs
    assert macs(jax.make_jaxpr(lambda m: logits(m, tokens[:, :-1], architecture))(model).jaxpr) == told
    # A step: twice as many again backward, and none made twice.
    assert macs(jax.make_jaxpr(jax.grad(lambda m: loss_of(architecture)(m, tokens)))(model).jaxpr) == 3 * told
    assert training.step_flops(architecture, V, b) == 3 * b * total(parts(counted)).flops


@pytest.mark.parametrize("architecture", [SMALL, LEARNED], ids=["rope", "learned"])
def test_a_later_token_changes_no_earlier_logit_and_numpy_says_what_jax_does(architecture):
    model, tokens = start(architecture, V), random_tokens(2, 8)
    before = logits(model, tokens, architecture)
    for place in range(8):
        changed = tokens.copy()
        changed[:, place] = (changed[:, place] + 1) % V
        after = logits(model, changed, architecture)
        np.testing.assert_array_equal(after[:, :place], before[:, :place])
        assert not np.allclose(after[:, place], before[:, place])
    of_jax = jax.jit(lambda m: logits(m, jax.numpy.asarray(tokens), architecture))(model)
    np.testing.assert_allclose(of_jax, before, atol=1e-6)  # logits of size 0.1 in float32


def test_after_rope_a_dot_product_depends_on_the_distance_alone():
    random, heads = np.random.default_rng(0), 2
    query, key = random.standard_normal((2, 1, 16))

    def score(first, second):
        return (rotate(query, heads, first) * rotate(key, heads, second)).reshape(heads, 8).sum(axis=1)

    for distance in (0, 1, 7, 300):
        expected = score(distance, 0)
        for place in (1, 5, 1000):
            # angles up to 1300 are rounded by 1300 eps
            np.testing.assert_allclose(score(place + distance, place), expected, atol=1e-11)
    assert not np.allclose(score(1, 0), score(2, 0))
    np.testing.assert_array_equal(rotate(query, heads), query)  # at place 0 nothing turns
    together = rotate(np.stack([query[0]] * 5), heads)
    np.testing.assert_allclose(together[3:4], rotate(query, heads, 3), rtol=1e-15)


def test_patterns_are_the_weights_of_attention():
    model, tokens = start(SMALL, V), random_tokens(2, 8)
    *_, (_, queries, keys) = streams(model, tokens, SMALL)
    found = patterns(queries, keys, SMALL.heads)
    assert found.shape == (2, 2, 8, 8)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(found, np.tril(found))
    own = slice(8, 16)  # the second head
    scores = queries[0, :, own] @ keys[0, :, own].T / np.sqrt(8)
    np.testing.assert_allclose(found[0, 1, 5, :6], softmax(scores[5, :6]), rtol=1e-5)


# Training


ONE = replace(SMALL, layers=1)  # less to compile


def learned(tokens, architecture=ONE, v=V, **options):
    return drain(train_steps(tokens, v, architecture, Training(**{"steps": 12, "batch": 4, "rate": 1e-2} | options)))


def second_order(n, seed=0, v=5, sure=0.9):
    """A language whose next token is the sum of the last two, nine times of ten; and its perplexity."""
    random, text = np.random.default_rng(seed), [0, 1]
    for other in np.where(random.random(n) < sure, -1, random.integers(0, v, n)).tolist():
        text.append((text[-1] + text[-2]) % v if other < 0 else other)
    right, wrong = sure + (1 - sure) / v, (1 - sure) / v
    return np.array(text), math.exp(-right * math.log(right) - (v - 1) * wrong * math.log(wrong))


@pytest.mark.slow
def test_a_small_language_is_learned_to_its_entropy():
    tokens, perplexity = second_order(40_000)
    found = learned(tokens, replace(SMALL, dim=32), 5, steps=400, batch=16, held_out=0.1)
    # The first of the eight places of a window sees one token alone, which says nothing of the next.
    least = math.exp((7 * math.log(perplexity) + math.log(5)) / 8)
    # The standard error of the mean of 4,000 losses, whose deviation is about 1.2, is 0.02.
    assert 0.94 * least < found.perplexity < 1.08 * least
    assert found.others.unigram > 4.9
    assert found.others.bigram > 4.5  # the token before says next to nothing
    assert found.curve[0][2] > 4.5


@pytest.fixture(scope="module")
def whole():
    """A training in one piece, a step a look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "SCAN_FLOPS", 1)
        patch.setattr(training, "PEEKS", 3)
        yield learned(random_tokens(2000), steps=9)


def test_accumulated_slopes_are_those_of_the_whole_batch(whole):
    parts_ = learned(random_tokens(2000), steps=9, accumulate=2)
    for (name, one), (_, other) in zip(named(whole.model), named(parts_.model), strict=True):
        # Sums in another order, in float32, over nine steps; Adam divides by their size.
        np.testing.assert_allclose(one, other, atol=2e-4, err_msg=name)
    assert parts_.perplexity == pytest.approx(whole.perplexity, rel=1e-4)


def test_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path, whole):
    tokens, path, options = random_tokens(2000), tmp_path / "a.checkpoint", Training(steps=9, batch=4, rate=1e-2)
    steps = train_steps(tokens, V, ONE, options, checkpoint=path, keep_on_interrupt=True)
    while not (isinstance(step := next(steps), TrainStep) and step.step == 4):
        pass
    with pytest.raises(StopIteration) as end:
        steps.throw(KeyboardInterrupt)
    assert (end.value.value.step, end.value.value.steps) == (4, 9)
    kept = path.read_bytes()
    again = drain(train_steps(tokens, V, ONE, options, checkpoint=path))
    assert again.curve == whole.curve
    assert again.perplexity == whole.perplexity
    for (_, one), (_, other) in zip(named(whole.model), named(again.model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not path.exists()
    path.write_bytes(kept)
    with pytest.raises(_check.ArgumentError, match="another text"):
        drain(train_steps(tokens - (tokens == 3), V, ONE, options, checkpoint=path))
    with pytest.raises(_check.ArgumentError, match="rate = 0.01, where now it is 0.02"):
        drain(train_steps(tokens, V, ONE, replace(options, rate=0.02), checkpoint=path))
    path.write_bytes(b"nonsense")
    with pytest.raises(_check.FileFormatError, match="a.checkpoint: not a readable checkpoint"):
        drain(train_steps(tokens, V, ONE, options, checkpoint=path))


def test_windows_cover_the_text_once_a_pass_and_only_the_seed_decides():
    seen, t = np.arange(1003), 10
    count = (len(seen) - 1 - 9) // t
    found = windows(seen, t, np.arange(2 * count), 1)
    assert found.shape == (2 * count, 11)
    np.testing.assert_array_equal(np.diff(found), 1)
    for epoch in (found[:count], found[count:]):
        assert len(np.unique(epoch[:, :-1])) == count * t
    assert not np.array_equal(found[:count], found[count:])
    np.testing.assert_array_equal(windows(seen, t, np.array([[150, 3], [7, 99]]), 1), found[[[150, 3], [7, 99]]])
    assert windows(np.arange(11), 10, np.arange(3), 1).tolist() == [list(range(11))] * 3


def test_the_rate_rises_and_falls_and_only_matrices_decay():
    rates = training.rate_at(np.arange(200), 200, 1.0).tolist()
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0) == pytest.approx(rates[9])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, rel=1e-2)
    optimizer, model = training.optimizer_of(10, Training(steps=10)), start(ONE, V)
    still = jax.tree.map(np.zeros_like, model)
    change = jax.jit(lambda model: optimizer.update(still, optimizer.init(model), model)[0])(model)
    for name, moved in named(change):
        assert np.any(np.asarray(moved)) == (not name.endswith("norm")), name


@pytest.mark.slow
def test_two_devices_share_a_batch_and_learn_the_same():
    code = """if True:
        import json, numpy as np, jax
        from firth.language.model import Architecture
        from firth.language.training import Training, train_steps
        from firth.steps import drain
        tokens = np.random.default_rng(0).integers(0, 11, 2000)
        options = Training(steps=6, batch=4, rate=1e-2, accumulate=2)
        found = drain(train_steps(tokens, 11, Architecture(16, 1, 2, 8), options))
        print(json.dumps([len(jax.devices()), found.perplexity, found.curve]))
    """
    told = []
    for devices in (1, 2, 3):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT | flags)
        if devices == 3:
            assert "3 devices share each batch / accumulate, which must be a multiple of them; got 4 / 2" in done.stderr
        else:
            told.append(json.loads(done.stdout))
    assert [one[0] for one in told] == [1, 2]
    assert told[1][1] == pytest.approx(told[0][1], rel=1e-4)  # sums in another order
    np.testing.assert_allclose(told[1][2], told[0][2], rtol=1e-4)


def test_bfloat16_has_nearly_the_slope_of_float32():
    window, model = jax.numpy.asarray(random_tokens(4, 9)), start(ONE, V)
    loss, slopes = jax.jit(jax.value_and_grad(loss_of(ONE)))(model, window)
    narrow, own = jax.jit(jax.value_and_grad(loss_of(ONE, "bfloat16")))(model, window)
    assert narrow.dtype == np.float32
    assert float(narrow) == pytest.approx(float(loss), rel=1e-3)  # near ln 11, whatever the logits
    for (name, one), (_, other) in zip(named(slopes), named(own), strict=True):
        assert other.dtype == np.float32
        # Numbers of eight bits, through a few products each.
        assert np.linalg.norm(one - other) < 0.05 * np.linalg.norm(one), name


@pytest.mark.slow
def test_training_that_diverges_says_so():
    with pytest.raises(_check.TrainingError, match="use a lower rate than 1"):
        learned(random_tokens(2000), steps=300, rate=1.0, decay=10.0)


# The company


def test_kneser_ney_is_its_formula_and_sums_to_one():
    text = random_tokens(300, v=6, seed=3)
    text = text[text != 5]  # 5 never came
    pairs, firsts = Counter(zip(text[:-1].tolist(), text[1:].tolist(), strict=True)), Counter(text[:-1].tolist())
    once, twice = (sum(count == n for count in pairs.values()) for n in (1, 2))
    discount = once / (once + 2 * twice) if once else 0.5

    def plain(first, second):
        general = (sum(pair[1] == second for pair in pairs) + 1) / (len(pairs) + 6)
        if not firsts[first]:
            return general
        kinds = sum(pair[0] == first for pair in pairs)
        return max(pairs[first, second] - discount, 0) / firsts[first] + discount * kinds / firsts[first] * general

    for first in range(6):
        found = [kneser_ney(text, np.array([first, second]), 6)[0] for second in range(6)]
        np.testing.assert_allclose(found, [plain(first, second) for second in range(6)], rtol=1e-12)
        assert sum(found) == pytest.approx(1)
    counted = baselines(text, np.array([0, 5, 1]), 6)
    shares = [(np.sum(text == token) + 1) / (len(text) + 6) for token in (5, 1)]
    assert counted.unigram == pytest.approx(np.prod(shares) ** -0.5)
    assert counted.tokens == 2


# Vocabulary


def test_words_that_are_rare_are_unknown_and_sentences_end():
    source = [["the", "cat"], ["the", "<unk>", "dog"], ["the", "cat", "x"]]
    words, text = drain(read_words(source, Reading(min_count=2)))
    assert words.labels == ["the", "cat", "<unk>", "<end>"]
    assert text.tokens.tolist() == [0, 1, 3, 0, 2, 2, 3, 0, 1, 2, 3]
    assert text.counts.tolist() == [3, 2, 3, 3]
    assert text.about["unknown"] == 3
    assert words.encode("The CAT, the mouse") == [0, 1, 0, 2]
    assert words.decode([0, 1, 3, 0]) == "the cat\nthe"
    words, _ = drain(read_words(source, Reading(min_count=1, max_vocab=2)))
    assert words.labels == ["the", "cat", "<unk>", "<end>"]
    items, _ = drain(read_words([["Tea", "x-2"]] * 5, Reading()))
    assert items.encode("x-2 Tea tea") == [1, 0, 2]
    with pytest.raises(_check.CorpusError, match="1 distinct words occur 3 times or more"):
        drain(read_words(source, Reading(min_count=3)))


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "small.txt"
    random = np.random.default_rng(0)
    path.write_text("\n".join(" ".join(SENTENCES[i]) + "." for i in random.integers(0, 3, 400)) + "\nZürich 😀\n")
    return path


def test_bpe_reads_everything_and_writes_it_again(text_file, tmp_path):
    pytest.importorskip("tokenizers")
    vocabulary, text = drain(read_bpe(text_file, 300))
    for sentence in ("the king", "Zürich 😀 日本\n\n x", " leading"):
        assert vocabulary.decode(vocabulary.encode(sentence)) == sentence
    whole = text_file.read_text()
    assert text.tokens.tolist() == vocabulary.encode(whole)
    assert text.about["tokens"] == text.counts.sum()
    model = LanguageModel(start(ONE, len(vocabulary)), ONE, vocabulary, text.counts, {"perplexity": math.nan})
    assert {"king", "cat", "##a"} <= set(model.space())  # and "cat" begins no sentence
    assert len(set(model.space().labels)) == len(vocabulary) <= 300
    model.save(tmp_path / "bpe.safetensors")
    again = LanguageModel.open(tmp_path / "bpe.safetensors")
    assert isinstance(again.vocabulary, Bpe)
    assert again.vocabulary.encode(whole) == vocabulary.encode(whole)
    assert again.sample("the", length=5).startswith("the")
    assert again.sample(length=3, seed=2) == model.sample(length=3, seed=2)
    with pytest.raises(_check.ArgumentError, match="max_vocab must be at least 257"):
        firth.transformer(text_file, tokens="bpe", max_vocab=100)
    with pytest.raises(_check.ArgumentError, match="source must be a path"):
        firth.transformer(SENTENCES, tokens="bpe")


# A model in use


@pytest.fixture(scope="module")
def model(text_file):
    return firth.transformer(
        text_file, dim=16, layers=2, heads=2, context=8, steps=60, batch=8, rate=1e-2, max_vocab=12
    )


def test_a_model_is_saved_and_opened_as_it_was(model, tmp_path):
    path = tmp_path / "m.safetensors"
    model.save(path)
    model.space().save(tmp_path / "m.space")
    for opened in (path, tmp_path / "m.space"):
        again = LanguageModel.open(opened)
        assert again.recipe == json.loads(json.dumps(model.recipe))
        assert again.architecture == model.architecture
        assert again.vocabulary.labels == model.vocabulary.labels
        np.testing.assert_array_equal(again.counts, model.counts)
        assert dict(named(again.model)).keys() == dict(named(model.model)).keys()
        for (name, one), (_, other) in zip(sorted(named(again.model)), sorted(named(model.model)), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
        assert again.sample("the king", length=8) == model.sample("the king", length=8)
    space = firth.Space.open(tmp_path / "m.space")
    assert "<unk>" not in space
    assert space.recipe["method"] == "transformer"
    np.testing.assert_array_equal(space["king"], model.model["embedding"][model.vocabulary.index["king"]])
    assert space.columns["count"][0] == model.counts[0]


def test_foreign_and_damaged_models_are_refused(model, tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(_check.FileFormatError, match="no such file"):
        LanguageModel.open(tmp_path / "m.space")
    with pytest.raises(FileNotFoundError):
        LanguageModel.open(path)
    with pytest.raises(_check.ArgumentError, match="saved as .safetensors"):
        model.save(tmp_path / "m.bin")
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(_check.FileFormatError, match="m.safetensors: not a readable safetensors file"):
        LanguageModel.open(path)
    replace(model, architecture=replace(model.architecture, layers=1)).save(path)
    with pytest.raises(_check.FileFormatError, match="its matrices are not those of"):
        LanguageModel.open(path)
    from safetensors.numpy import save_file

    save_file({"vectors": np.ones((2, 2), np.float32)}, path)
    with pytest.raises(_check.FileFormatError, match="not a language model of firth's"):
        LanguageModel.open(path)


def test_the_perplexity_of_the_model_is_what_was_trained_for(model, text_file):
    assert model.recipe["perplexity"] < model.recipe["unigram_perplexity"]
    text = " ".join(" ".join(sentence) for sentence in SENTENCES * 3)
    rows = np.array(model.vocabulary.encode(text))
    expected = []
    for begin in range(0, len(rows) - 1, 8):
        window = rows[begin : begin + 9]
        shares = softmax(logits(model.model, window[None, :-1], model.architecture)[0].astype(float))
        expected += [-math.log(share[row]) for share, row in zip(shares, window[1:], strict=True)]
    assert model.perplexity(text) == pytest.approx(math.exp(np.mean(expected)), rel=1e-6)
    with pytest.raises(_check.ArgumentError, match="two tokens or more"):
        model.perplexity("king")


def test_sampling_follows_its_settings(model):
    told = model.next("the", k=3)
    assert told == sorted(told, key=lambda one: -one[1])
    most = model.sample("the", length=6, temperature=0)
    assert most == model.sample("the", length=6, top_k=1, seed=5) == model.sample("the", length=6, top_p=1e-9, seed=7)
    assert len({model.sample("the", length=6, temperature=2, seed=seed) for seed in range(5)}) > 1
    long = model.sample("the king saw", length=30, seed=1)  # beyond the context
    assert long.startswith("the king saw")
    assert "<unk>" not in long
    assert model.sample(length=3)
    for options in ({"top_k": 0}, {"top_p": 0}, {"temperature": -1}, {"length": 0}, {"top_k": 99}):
        with pytest.raises(_check.ArgumentError, match=next(iter(options))):
            model.sample("the", **options)


def test_what_is_drawn_is_as_frequent_as_its_share():
    scores, random = np.log([0.5, 0.3, 0.15, 0.05]), np.random.default_rng(0)

    def shares(**options):
        options = {"temperature": 1.0, "top_k": 4, "top_p": 1.0} | options
        drawn = [_drawn(scores, **options, random=random) for _ in range(1000)]
        return np.bincount(drawn, minlength=4) / 1000

    error = 4 * 0.5 / math.sqrt(1000)  # four standard errors
    np.testing.assert_allclose(shares(), [0.5, 0.3, 0.15, 0.05], atol=error)
    np.testing.assert_allclose(shares(top_k=2), [0.625, 0.375, 0, 0], atol=error)
    np.testing.assert_allclose(shares(top_p=0.79), [0.625, 0.375, 0, 0], atol=error)
    np.testing.assert_allclose(shares(top_p=0.81), np.array([0.5, 0.3, 0.15, 0]) / 0.95, atol=error)
    np.testing.assert_allclose(shares(temperature=0.5), softmax(2 * scores), atol=error)


def test_what_is_inside_ends_with_what_comes_next(model, tmp_path):
    found = model.inside("The king saw a", k=3)
    assert found.tokens == ["the", "king", "saw", "a"]
    assert found.patterns.shape == (2, 2, 4, 4)
    np.testing.assert_allclose(found.patterns.sum(axis=-1), 1, rtol=1e-5)
    assert [len(layer.nearest) for layer in found.layers] == [4, 4, 4]
    last = found.layers[-1].nearest[-1]
    assert [label for label, _ in last] == [label for label, _ in model.next("the king saw a", k=3)]
    with pytest.raises(_check.ArgumentError, match="1..8 tokens, the context of the model; .* has 9"):
        model.inside("the " * 9)
    with pytest.raises(_check.ArgumentError, match="has 0"):
        model.inside("...")
    with pytest.raises(_check.ArgumentError, match="attention is saved as"):
        found.save(tmp_path / "a.gif")
    pytest.importorskip("matplotlib")
    for name, begins in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.html", b"<!doctype html>"), ("a.json", b"{")):
        found.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert json.loads((tmp_path / "a.json").read_text())["tokens"] == found.tokens
    page = (tmp_path / "a.html").read_text()
    assert not re.search(r"(src|href)=", page)  # it works offline
    assert '"tokens": ["the", "king", "saw", "a"]' in page


# Settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 8, "heads": 3}, "heads must divide dim; got 3 heads and dim 8, which 1, 2, 4, 8 divide"),
        ({"heads": 5}, "heads must divide dim; got 5 heads and dim 96"),
        ({"dim": 12, "heads": 4}, "a head must have an even width to be rotated; got dim 12 / 4 heads = 3"),
        ({"positions": "sine"}, "positions must be one of rope, learned"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"batch": 6, "accumulate": 4}, "accumulate must divide batch; got 4 and 6"),
        ({"accumulate": 17}, "accumulate must be in 1..16"),
        ({"held_out": 0}, "held_out must be above 0"),
        ({"rate": 0}, "rate must be above 0"),
        ({"context": 1}, "context must be in 2.."),
        ({"device": "tpu"}, "device must be one of cpu, gpu"),
        ({"device": "gpu"}, "device must be one that JAX finds here: cpu; got 'gpu'"),
    ],
)
def test_bad_settings_say_so_before_the_text_is_read(options, message):
    def never():
        raise AssertionError("it was read")
        yield

    with pytest.raises(_check.ArgumentError, match=re.escape(message)):
        firth.transformer(never(), **options)


def test_a_text_shorter_than_two_contexts_says_so():
    with pytest.raises(_check.CorpusError, match="54 tokens: too few for a context of 64, which needs 130"):
        firth.transformer(SENTENCES * 3, min_count=1)
    with pytest.raises(_check.ArgumentError, match="phrases must be 0 for a transformer"):
        drain(transformer_steps(SENTENCES, reading=Reading(phrases=1)))


# The commands


@pytest.mark.slow
def test_the_commands_from_text_to_pictures(text_file, tmp_path):
    space, small = tmp_path / "w.space", ["--dim", "16", "--layers", "2", "--heads", "2", "--context", "8"]
    told = run("learn", text_file, "-o", space, "--method", "transformer", *small, "--steps", "20", "--batch", "8")[1]
    assert re.search(r"w.safetensors: perplexity \d+\.\d on \d+ tokens held out; by counts of tokens alone", told)
    assert "learning ..." in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors", "w.space"]
    assert "king" in run("ask", space, "queen", "-k", "20")[0]
    written = run("sample", tmp_path / "w.safetensors", "the king", "--length", "5", "--temperature", "0")[0]
    assert written.startswith("the king")
    assert written == run("sample", space, "the king", "--length", "5", "--top-k", "1")[0]
    keyed = [json.loads(line) for line in run("sample", space, "the", "-n", "2", "--json")[0].splitlines()]
    assert [one["seed"] for one in keyed] == [0, 1]
    shown = run("attend", space, "the king saw a cat", "-o", tmp_path / "a.html", "--layer", "2")[0]
    assert shown.count("head 2") == shown.count("layer 2\n") == 1
    assert "embedding" in shown
    assert "█" in shown
    found = json.loads(run("attend", space, "the king", "--json", "-k", "2")[0])
    assert np.shape(found["patterns"]) == (2, 2, 2, 2)
    for asked in (["sample", space, "the zyx king zyx", "--length", "1"], ["attend", space, "the zyx king zyx"]):
        assert "not in the vocabulary, read as <unk>: zyx\n" in run(*asked)[1]
    assert "--layer must be in 1..2; got 3" in run("attend", space, "the", "--layer", "3", code=1)[1]
    assert "attention is saved as" in run("attend", space, "the", "-o", tmp_path / "a.gif", code=1)[1]
    assert "not a language model of firth's" in run("attend", _grown(tmp_path), "the", code=1)[1]


def _grown(folder):
    from safetensors.numpy import save_file

    save_file({"x": np.ones((2, 2), np.float32)}, folder / "other.safetensors")
    return folder / "other.safetensors"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--window", "3"], "--window is not an option of --method transformer; leave it out"),
        (["--keep-context"], "--keep-context is not an option of --method transformer"),
        (["--quick", "--heads", "5"], "heads must divide dim; got 5 heads and dim 64"),
        (["--context", "5000"], "too few for a context of 5000"),
    ],
)
def test_wrong_options_are_named(text_file, tmp_path, options, message):
    told = run("learn", text_file, "-o", tmp_path / "w.space", "--method", "transformer", *options, code=1)[1]
    assert message in told
    assert not list(tmp_path.iterdir())


def test_options_of_a_transformer_are_not_those_of_others(text_file, tmp_path):
    for options in (["--quick"], ["--tokens", "bpe"]):
        told = run("learn", text_file, "-o", tmp_path / "w.space", *options, code=1)[1]
        assert f"{' '.join(options) if 'bpe' in options else options[0]} is not an option of --method word2vec" in told


def test_an_interrupt_waits_until_jax_has_compiled(tmp_path, monkeypatch):
    compiled = []

    def forward(*given):
        signal.raise_signal(signal.SIGINT)  # raises in the next line, if nobody holds it
        compiled.append(1)
        return whole(*given)

    path = tmp_path / "a.checkpoint"
    steps = train_steps(random_tokens(2000), V, ONE, Training(steps=9, batch=4), checkpoint=path)
    while not isinstance(next(steps), TrainStep):
        pass
    whole = training.forward
    monkeypatch.setattr(training, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert compiled
    assert path.exists()


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(text_file, tmp_path):
    command = [FIRTH, "learn", text_file, "-o", tmp_path / "w.space", "--method", "transformer", "--dim", "32"]
    command += ["--context", "16", "--steps", "4000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("learning"):
                break
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert running.returncode == 130, rest
    assert "w.checkpoint: the same command goes on from there" in rest
    assert [path.name for path in tmp_path.iterdir()] == ["w.checkpoint"]
    other = run(*command[1:-1], "6000", code=1)[1]
    assert "steps = 4000, where now it is 6000" in other
