"""firth.table and firth.rows: rows as vectors, each column with the same say."""

from __future__ import annotations

import datetime
import json
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn.base
import sklearn.pipeline

import firth
from firth import _check
from firth.table import MISSING, OTHER, Encoder
from tests.test_cli import run

ROWS = 400


def houses(n=ROWS, seed=0) -> pa.Table:
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 4000, n)
    return pa.table(
        {
            "price": pa.array(rng.lognormal(12, 0.5, n), mask=rng.random(n) < 0.05),
            "rooms": rng.integers(1, 9, n),
            "kind": pa.array(rng.choice(["flat", "house", "castle"], n, p=[0.6, 0.39, 0.01]), mask=rng.random(n) < 0.1),
            "street": rng.choice([f"street {i}" for i in range(100)], n),
            "sold": pa.array([datetime.date(2010, 1, 1) + datetime.timedelta(days=int(day)) for day in days]),
            "garden": rng.random(n) < 0.5,
            "one": np.ones(n),
        }
    )


def block(encoder, vectors, name):
    places = [i for i, dimension in enumerate(encoder.dimensions) if dimension.startswith(name)]
    return vectors[:, places]


# Plain twins


def test_numbers_are_standardised_and_missing_ones_are_the_mean():
    table = houses()
    encoder = Encoder().fit(table)
    price = table["price"].to_numpy()
    plain = np.clip((price - np.nanmean(price)) / np.nanstd(price), -5, 5)
    found = block(encoder, encoder.transform(table), "price")[:, 0]
    np.testing.assert_allclose(found, np.nan_to_num(plain), rtol=1e-5, atol=1e-6)  # float32


def test_robust_numbers_go_by_median_and_quartiles():
    table = houses()
    encoder = Encoder(numeric="robust").fit(table)
    low, middle, high = np.nanquantile(table["price"].to_numpy(), [0.25, 0.5, 0.75])
    found = block(encoder, encoder.transform(table), "price")[:, 0]
    plain = (table["price"].to_numpy() - middle) / (high - low) * 1.3489795
    plain = np.clip(plain, -5, 5)
    np.testing.assert_allclose(found, np.nan_to_num(plain), rtol=1e-5, atol=1e-6)


def test_categories_are_one_hot_with_a_place_for_rare_unknown_and_missing_ones():
    table = houses()
    encoder = Encoder(rare=0.05).fit(table)
    assert [name for name in encoder.dimensions if name.startswith("kind")] == [
        *("kind=flat", "kind=house", f"kind={OTHER}", f"kind={MISSING}")
    ]
    new = table.slice(0, 4).set_column(2, "kind", pa.array(["house", "castle", "igloo", None]))
    hot = block(encoder, encoder.transform(new), "kind") != 0
    np.testing.assert_array_equal(hot, [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_dates_have_a_time_and_a_season():
    encoder = Encoder().fit(houses())
    new = houses(3).set_column(4, "sold", pa.array([datetime.date(2010, 6, 1), datetime.date(2020, 6, 1), None]))
    time, *season = block(encoder, encoder.transform(new), "sold").T
    assert time[0] < 0 < time[1]
    assert np.hypot(*season) == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0], abs=1e-6)
    assert np.allclose(
        [one[0] for one in season], [one[1] for one in season], atol=0.03
    )  # the same day, a few leap days on


def test_every_column_has_the_same_say():
    table = houses(4000)
    encoder = Encoder(weights={"rooms": 3.0}).fit(table)
    vectors = encoder.transform(table)
    one, other = vectors, vectors[np.random.default_rng(1).permutation(len(vectors))]
    for name, weight in [("street", 1), ("kind", 1), ("garden", 1), ("sold", 1), ("rooms", 3)]:
        apart = np.square(block(encoder, one, name) - block(encoder, other, name)).sum(1).mean()
        assert apart == pytest.approx(2 * weight, rel=0.25)  # 100 streets weigh as much as a yes or no; 4000 pairs


def test_a_column_that_hardly_varies_does_not_rule():
    rare = np.arange(1000) < 2
    table = pa.table({"paved": np.where(rare, "no", "yes"), "pools": 100.0 * rare, "rooms": np.arange(1000) % 7})
    encoder = Encoder().fit(table)
    vectors = encoder.transform(table)
    # Uncapped, what all but two share would be in every product with 1 / 0.004 = 250, and two pools be 22 out.
    assert np.square(block(encoder, vectors, "paved")).max() == pytest.approx(4)
    assert np.abs(block(encoder, vectors, "pools")).max() == pytest.approx(5)
    assert np.abs(block(encoder, vectors, "rooms")).max() < 2  # as it was


def test_texts_are_weighted_means_of_words():
    words = firth.Space(["tea", "the", "nail"], [[1, 0], [1, 1], [0, 1]], columns={"count": np.array([9, 900, 91])})
    table = pa.table({"text": ["Tea the", "nail", "nothing known", None]})
    encoder = Encoder(text=["text"], space=words).fit(table)
    tea, the = (1e-3 / (1e-3 + share) for share in (0.009, 0.9))
    plain = np.array([np.array([tea + the, the]) / (tea + the), [0, 1]])
    plain -= plain.mean(0)
    plain /= math.sqrt(np.square(plain).sum(1).mean())
    np.testing.assert_allclose(encoder.transform(table), [*plain, [0, 0], [0, 0]], atol=1e-6)


# Batches, frames, recipes, scikit-learn


def test_batches_change_nothing():
    table = houses()
    pieces = pa.Table.from_batches(
        [batch for start in range(0, ROWS, 37) for batch in table.slice(start, 37).to_batches()]
    )
    for numeric in ("standard", "robust"):
        whole, parts = Encoder(numeric=numeric).fit(table), Encoder(numeric=numeric).fit(pieces)
        np.testing.assert_allclose(whole.transform(table), parts.transform(pieces), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame, pl.from_arrow, lambda table: table], ids=["pandas", "polars", "pyarrow"]
)
def test_frames_of_every_library_are_the_same(frame):
    table = houses()
    given = table.to_pandas() if frame is pd.DataFrame else frame(table)
    np.testing.assert_allclose(Encoder().fit_transform(given), Encoder().fit_transform(table), rtol=1e-5, atol=1e-6)


def test_what_was_learned_is_kept_in_the_recipe_and_applied_to_new_rows(tmp_path):
    space = firth.encode(houses())
    space.save(tmp_path / "houses.space")
    opened = firth.Space.open(tmp_path / "houses.space")
    encoder = Encoder.from_dict(opened.recipe["encoder"])
    assert opened.recipe["dimensions"] == encoder.dimensions
    np.testing.assert_array_equal(encoder.transform(houses()), opened.vectors)
    new = houses(10, seed=5)
    np.testing.assert_array_equal(firth.encode(new, encoder).vectors, encoder.transform(new))
    assert opened.recipe["encoder"]["left_out"] == {"one": "it has one value alone"}


def test_scikit_learn_takes_it_as_a_transformer():
    encoder = sklearn.base.clone(Encoder(rare=0.01, ignore=["sold"]))
    assert encoder.get_params()["rare"] == 0.01
    pipeline = sklearn.pipeline.make_pipeline(encoder, "passthrough")
    frame = houses().to_pandas()
    vectors = pipeline.fit_transform(frame)
    assert vectors.shape == (ROWS, len(encoder.get_feature_names_out()))
    with pytest.raises(_check.ArgumentError, match="there is no option 'colour'"):
        encoder.set_params(colour=1)


def test_rows_alike_are_neighbours():
    table = pa.table({"name": ["a", "b", "c", "d"], "rooms": [2, 2, 7, 8], "kind": ["flat", "flat", "house", "house"]})
    space = firth.encode(table, label="name")
    assert [space.ask(name, k=1).labels[0] for name in "abcd"] == ["b", "a", "d", "c"]


# Files and the command


def test_files_give_what_frames_give(tmp_path):
    table = houses()
    pq.write_table(table, tmp_path / "houses.parquet", row_group_size=100)
    table.to_pandas().to_csv(tmp_path / "houses.csv", index=False)
    plain = firth.encode(table)
    for name in ("houses.parquet", "houses.csv"):
        space = firth.encode(tmp_path / name)
        assert space.recipe["dimensions"] == plain.recipe["dimensions"]
        np.testing.assert_allclose(space.vectors, plain.vectors, rtol=1e-5, atol=1e-6)


def test_a_csv_whose_whole_numbers_turn_into_others_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("firth.rows.BLOCK_BYTES", 1 << 10)
    lines = ["rooms,price,note"] + ["3,100,"] * 300 + ["2.5,99.5,late"] * 300
    (tmp_path / "late.csv").write_text("\n".join(lines))
    space = firth.encode(tmp_path / "late.csv")
    assert space.recipe["dimensions"][:2] == ["rooms", "price"]
    (tmp_path / "wrong.csv").write_text("\n".join([*lines, "many,1,"]))
    with pytest.raises(_check.FileFormatError, match=r"wrong\.csv: .*many.*make it one of categories"):
        firth.encode(tmp_path / "wrong.csv")
    name = lines[0].split(",")[0]
    for remedy in ({"categories": [name]}, {"ignore": [name]}):
        firth.encode(tmp_path / "wrong.csv", firth.Encoder(**remedy))


def test_labels_and_categories_of_a_csv_stay_as_they_are_written(tmp_path):
    (tmp_path / "a.csv").write_text("key,kind,size\n007,20,1\n008,30,2\n")
    space = firth.encode(tmp_path / "a.csv", firth.Encoder(categories=["kind"]), label="key")
    assert space.labels.tolist() == ["007", "008"]
    assert "kind=20" in space.recipe["dimensions"]


@pytest.mark.slow
def test_the_command_encodes_and_applies_to_new_rows(tmp_path):
    houses().to_pandas().to_csv(tmp_path / "h.csv", index=False)
    out = tmp_path / "h.space"
    _, err = run("encode", tmp_path / "h.csv", "-o", out, "--weight", "price=2", "--ignore", "street")
    assert "400 rows x " in err
    assert "left out: one: it has one value alone" in err
    told = json.loads(run("info", out, "--json")[0])
    assert told["recipe"]["method"] == "table"
    run("encode", tmp_path / "h.csv", "-o", tmp_path / "new.space", "--like", out)
    np.testing.assert_array_equal(firth.Space.open(tmp_path / "new.space").vectors, firth.Space.open(out).vectors)
    for arguments, message in [
        ((tmp_path / "h.xls", "-o", out), "a table is read from .csv, .tsv or .parquet"),
        ((tmp_path / "none.csv", "-o", out), "none.csv"),
        ((tmp_path / "h.csv", "-o", out, "--weight", "price"), "--weight must be NAME=NUMBER, such as price=2"),
        ((tmp_path / "h.csv", "-o", out, "--category", "colour"), "there is no column 'colour'; there are price"),
        ((tmp_path / "h.csv", "-o", out, "--like", out, "--rare", 0.1), "--like says how columns are encoded"),
        ((tmp_path / "h.csv", "-o", tmp_path / "x.csv"), "encode writes .space files"),
        ((tmp_path / "h.csv", "-o", out, "--label", "kind"), "labels must be"),
    ]:
        assert message in run("encode", *arguments, code=1)[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Encoder().fit([1, 2]), "a table must be a DataFrame of pandas, polars or pyarrow; got list"),
        (lambda: Encoder().fit(houses(0)), "the table must have at least one row"),
        (lambda: Encoder().fit(pa.table({"a": [1, 1]})), "no column is left to encode: a: it has one value alone"),
        (lambda: Encoder(numeric="log").fit(houses()), "numeric must be one of standard, robust"),
        (lambda: Encoder(text=["street"]).fit(houses()), "text columns need a space of words"),
        (lambda: Encoder(weights={"rooms": 0}).fit(houses()), "weight of rooms must be above 0"),
        (lambda: Encoder().dimensions, "learned nothing yet: call fit first"),
        (lambda: Encoder().fit(houses()).transform(pa.table({"a": [1]})), "column 'price' is missing"),
        (lambda: Encoder.from_dict({}), "this is nothing that an encoder has learned"),
        (lambda: firth.encode(houses(), label="name"), "label: there is no column 'name'"),
    ],
)
def test_errors_are_in_words(call, message):
    with pytest.raises(_check.ArgumentError, match=message):
        call()


def test_identifiers_are_left_out_unless_asked_for():
    table = pa.table({"id": [f"row {i}" for i in range(100)], "n": range(100)})
    assert list(Encoder().fit(table).left_out_) == ["id"]
    assert len(Encoder(categories=["id"]).fit(table).dimensions) == 1 + 102
