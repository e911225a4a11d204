"""firth.cost: operations, bytes and parameters by formulas; what is published is met."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from firth import _check, ops, roofline
from firth.cost import (
    MODELS,
    OPERATIONS,
    TRAINING,
    Transformer,
    find_model,
    generation,
    operation,
    parts,
    total,
    training_flops,
)
from firth.steps import drain

# Parameters of the released weights, to the last: model cards of the four GPT-2, of Llama 2 and of Llama 3.
RELEASED = {
    "gpt-2": 124_439_808,
    "gpt-2-medium": 354_823_168,
    "gpt-2-large": 774_030_080,
    "gpt-2-xl": 1_557_611_200,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
}
TRAINED = {  # Brown et al. 2020, table D.1: FLOPs to train
    "gpt-3-small": 2.25e20,
    "gpt-3-medium": 6.41e20,
    "gpt-3-large": 1.37e21,
    "gpt-3-xl": 2.38e21,
    "gpt-3-2.7b": 4.77e21,
    "gpt-3-6.7b": 1.20e22,
    "gpt-3-13b": 2.31e22,
    "gpt-3": 3.14e23,
}


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_are_those_of_the_released_weights(name):
    assert MODELS[name].parameters == RELEASED[name]


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_parameters_are_within_a_per_cent_of_the_published(model):
    assert model.parameters == pytest.approx(model.published, rel=0.01)


def test_gpt_3_takes_3_14e23_operations_and_768_is_the_width_of_its_smallest_sibling():
    assert training_flops(MODELS["gpt-3"]) == pytest.approx(3.14e23, rel=0.01)
    assert MODELS["gpt-3"].parameters == pytest.approx(175e9, rel=0.01)
    assert (MODELS["gpt-3"].width, MODELS["gpt-3-small"].width) == (12_288, 768)


@pytest.mark.parametrize("name", TRAINED)
def test_training_takes_what_the_table_of_the_paper_has(name):
    assert training_flops(MODELS[name]) == pytest.approx(TRAINED[name], rel=0.01)


def test_training_llama_3_takes_what_its_paper_has():
    assert training_flops(MODELS["llama-3-405b"]) == pytest.approx(
        3.8e25, rel=0.01
    )  # Grattafiori et al. 2024, section 3


def test_the_formulas_differ_by_attention_alone():
    model = MODELS["gpt-3"]
    attention = next(part for part in parts(model) if part.name == "scores and mixtures")
    more = training_flops(model, formula="PaLM") - training_flops(model)
    # three times the forward pass, a token; 12 L a t is of its products alone
    assert more / model.tokens == pytest.approx(3 * 2 * attention.macs / model.context)


def test_a_forward_pass_takes_about_two_operations_a_parameter_and_token():
    for name in ("gpt-3", "llama-3-405b"):
        model = MODELS[name]
        passed = sum(part.flops for part in parts(model, 1))
        assert passed == pytest.approx(2 * model.parameters, rel=0.02)
        # Two bytes a parameter, read for one token; where several heads share keys and values, attention does a little more.
        assert generation(model).intensity == pytest.approx(1.0, rel=0.1)


# Each operation against the function it counts


def counting_plain(name, sizes):
    """Multiply-accumulates, as one would count them while running plain loops."""
    if name in ("softmax", "one_hot", "lookup"):
        return 0
    if name == "attention":
        h, q, n, d = sizes
        return sum(d + d for _ in range(h) for _ in range(q) for _ in range(n))
    if name == "cosine":
        return 3 * sizes[0]
    return int(np.prod(sizes))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_rung_of_the_ladder_is_counted(name):
    assert hasattr(ops, name)
    sizes = [3, 4, 5, 2][: OPERATIONS[name].sizes.count("x") + 1]
    counted = operation(name, *sizes)
    assert counted.macs == counting_plain(name, sizes)
    assert counted.flops >= 2 * counted.macs
    assert operation(name, *sizes, number_bytes=2).traffic_bytes * 2 == counted.traffic_bytes
    assert set(OPERATIONS) == {
        *("dot", "matmul", "cosine", "scaled_dot", "similarity", "neuron", "layer", "softmax", "attention"),
        *("one_hot", "lookup"),
    }


def test_traffic_is_operands_and_results():
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    assert operation("matmul", 3, 4, 5).traffic_bytes == a.nbytes + b.nbytes + ops.matmul(a, b).nbytes
    assert operation("layer", 3, 4, 5).parameters == 4 * 5 + 5


def test_costs_add_up_and_multiply():
    one = operation("dot", 8)
    assert total([one, one]) == one.times(2, "total")


def test_a_transformer_of_ones_own_is_counted():
    own = Transformer("mine", 12, 768, 12, 1024)
    assert own.parameters == RELEASED["gpt-2"]
    assert own.kv_bytes == 12 * 2 * 768 * 2
    assert training_flops(own, 1e9) == 6e9 * own.parameters


@pytest.mark.parametrize("name", ["GPT3", "gpt-3", "Llama 3 405B", "gpt2-XL"])
def test_models_are_found_however_they_are_spelt(name):
    assert find_model(name) in MODELS.values()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_model("gtp-2"), "there is no model 'gtp-2': did you mean gpt-2"),
        (lambda: find_model("qwerty"), "there are gpt-2, gpt-2-medium"),
        (lambda: operation("matmull", 1), "no operation 'matmull': did you mean matmul"),
        (lambda: operation("matmul", 4096), r"matmul takes nxdxm .*such as 1024x1024x1024; got 4096"),
        (lambda: operation("dot", 0), "d of dot must be at least 1; got 0"),
        (lambda: Transformer("x", 2, 100, 3, 10), "heads must divide width; got 3 heads and width 100"),
        (lambda: Transformer("x", 2, 96, 3, 10, kv_heads=2), "kv_heads must divide heads"),
        (lambda: Transformer("x", 0, 96, 3, 10), "layers must be at least 1"),
        (lambda: training_flops(MODELS["gpt-2"]), "tokens must be given for gpt-2"),
        (lambda: training_flops(MODELS["gpt-3"], formula="7ND"), "formula must be one of 6ND, PaLM"),
    ],
)
def test_errors_are_in_words(call, message):
    with pytest.raises(_check.ArgumentError, match=message):
        call()
    assert TRAINING["6ND"]


# Rooflines


def test_below_the_ridge_memory_is_the_roof():
    machine = roofline.Roofline("x", 100.0, 10.0, "float32", "here")
    assert machine.ridge == 10
    assert machine.time_s(50, 10) == 1  # 5 operations a byte
    assert machine.time_s(200, 10) == 2


def test_what_was_measured_is_kept_and_a_broken_file_is_measured_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(roofline, "STREAM_BYTES", 1 << 16)
    monkeypatch.setattr(roofline, "ROUNDS", 1)
    assert roofline.measured(1) is None
    steps = roofline.measure_steps(1)
    shown = [next(steps)]
    try:
        while True:
            shown.append(next(steps))
    except StopIteration as end:
        found = end.value
    assert [step.done for step in shown] == [0, 1, 2]
    assert roofline.measured(1) == found
    with monkeypatch.context() as other:
        other.setenv("FIRTH_SIMD", "portable")
        assert roofline.measured(1) is None  # what other instructions reach
    assert found.flops_per_s > 0
    assert found.int8_ops_per_s > 0
    faster = replace(found, flops_per_s=1e30, bytes_per_s=1e-30)  # than this machine, and slower
    roofline.cache_path(1).write_text(json.dumps(asdict(faster)))
    best = drain(roofline.measure_steps(1))
    assert best.flops_per_s == 1e30
    assert best.bytes_per_s > 1
    for broken in ("", "[]", "{}", '{"name": 1}', roofline.cache_path(1).read_text().replace("measured", '"')):
        roofline.cache_path(1).write_text(broken)
        assert roofline.measured(1) is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("a file where the folder would be")
    for _ in roofline.measure_steps(1):
        pass
    assert roofline.measured(1) is None
