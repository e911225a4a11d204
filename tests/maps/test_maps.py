"""firth.maps: reduce, judge and draw."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firth
from firth._check import ArgumentError, LabelError, ShapeError
from firth.maps import compare, map_space, map_space_steps
from firth.maps.colours import column_colours
from firth.maps.draw import frame
from firth.maps.labels import place
from firth.maps.panels import read_settings
from firth.maps.quality import measure
from firth.search import METRICS
from firth.space import Space
from firth.steps import drain

NASTY = "</script><img src=x onerror=alert(1)>"


def clusters(n=120, d=12, seed=0):
    """Three clusters, far apart."""
    rng = np.random.default_rng(seed)
    which = np.arange(n) % 3
    vectors = np.eye(3, d)[which] * 4 + rng.standard_normal((n, d)) * 0.3
    labels = [NASTY, "a_b^c $x$", "漢字", *(f"w{i}" for i in range(n - 3))]
    columns = {"count": np.arange(n, 0, -1), "kind": np.array(["x", "y", "z"])[which], "weight": rng.random(n)}
    columns["context"] = vectors + 1
    return Space(labels, vectors, columns=columns, recipe={"corpus": {"sources": ["a.txt", "b.txt"]}}), which


@pytest.fixture(scope="module")
def drawn():
    return map_space(clusters()[0], "pca")


def check_clusters(points, which):
    """Points of a cluster lie nearer to its centre than to others'."""
    centres = np.stack([points[which == c].mean(axis=0) for c in range(3)])
    apart = ((points[:, None] - centres[None]) ** 2).sum(-1)
    assert (apart.argmin(axis=1) == which).mean() > 0.95


@pytest.mark.parametrize(("method", "dims"), [(m, d) for m in ("pca", "tsne", "umap") for d in (2, 3)])
def test_clusters_stay_clusters(method, dims):
    space, which = clusters()
    found = map_space(space, method, dims=dims)
    assert found.points.shape == (120, dims)
    assert found.points.dtype == np.float32
    check_clusters(found.points, which)
    assert found.quality["trustworthiness"] > 0.75
    assert found.quality["continuity"] > 0.75
    np.testing.assert_array_equal(found.points, map_space(space, method, dims=dims, threads=3).points)


def test_steps_tell_where_points_are_and_their_loss():
    space, which = clusters()
    steps = list(map_space_steps(space, "umap", n_neighbors=10))
    assert list(dict.fromkeys(step.stage for step in steps)) == ["neighbours", "start", "UMAP", "quality", "clusters"]
    last = next(step for step in reversed(steps) if step.stage == "UMAP")
    check_clusters(last.points, which)
    assert last.done == last.total == 500
    assert last.loss > 0


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_ctrl_c_keeps_the_map_reached(method):
    space, _ = clusters(2000)
    steps = map_space_steps(space, method, n_epochs=10_000, keep_on_interrupt=True)
    while next(steps).points is None:
        pass
    steps.throw(KeyboardInterrupt())
    drawn = drain(steps)
    assert np.isfinite(drawn.points).all()
    assert 0 < drawn.recipe["interrupted_at"] < 1
    assert "interrupted at" in drawn.summary
    steps = map_space_steps(space, method)
    while next(steps).points is None:
        pass
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", ["umap", "tsne", "pca"])
def test_new_points_are_placed_in_their_clusters(method, dims):
    space, which = clusters()
    drawn = map_space(space, method, dims=dims)
    fresh, expected = clusters(60, seed=1)[0].vectors, np.arange(60) % 3
    placed = drawn.place(fresh)
    assert placed.shape == (60, dims)
    centres = np.stack([drawn.points[which == c].mean(axis=0) for c in range(3)])
    assert (((placed[:, None] - centres) ** 2).sum(-1).argmin(axis=1) == expected).all()
    np.testing.assert_array_equal(placed, drawn.place(fresh))
    assert drawn.place(fresh[:0]).shape == (0, dims)
    with pytest.raises(ShapeError, match="agree on d"):
        drawn.place(fresh[:, :3])


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_a_map_starts_from_another(method):
    # A sheet: parts that no edge connects would drift as they please, and so would few points.
    sheet = np.random.default_rng(0).uniform(-1, 1, (1000, 2)) @ np.eye(2, 12) + [[0.0] * 11 + [2.0]]
    space = Space(map(str, range(1000)), sheet)
    first = map_space(space, "pca", top=600)
    turned = type(first)(first.space, -first.points, first.rows, "pca", first.colours, {}, first.recipe)
    drawn = map_space(space, method, init=turned)
    known = drawn.points[:600]
    correlation = np.corrcoef(known.T, turned.points.T)[[0, 1], [2, 3]]
    assert (correlation > 0.5).all()  # it keeps the side of the other: 0.8 and more either way up
    with pytest.raises(ShapeError, match="init must be a map in 3 dimensions"):
        map_space(space, method, init=first, dims=3)
    with pytest.raises(ShapeError, match="init must have a row for each point"):
        map_space(space, method, init=np.ones((3, 2)))


def interrupted(space, method, steps):
    """The map reached in so many steps."""
    work = map_space_steps(
        space, method, keep_on_interrupt=True, frames=20
    )  # a step a frame, whatever the machine's speed
    moving = 0
    while moving < steps:
        moving += next(work).points is not None
    work.throw(KeyboardInterrupt())
    return drain(work)


def test_a_saved_umap_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    space, _ = clusters()
    drawn = interrupted(space, "umap", 7)
    assert drawn.recipe["interrupted_at"] == 7 / 20
    drawn.save(tmp_path / "half.space")
    saved = Space.open(tmp_path / "half.space")
    np.testing.assert_array_equal(saved.vectors, drawn.points)
    assert saved.columns["kind"].tolist() == space.columns["kind"].tolist()
    whole = map_space(space, "umap")
    for init in (drawn, saved):
        resumed = map_space(space, "umap", init=init)
        np.testing.assert_array_equal(resumed.points, whole.points)
        assert resumed.recipe == whole.recipe
    assert (map_space(space, "umap", init=saved, seed=1).points != whole.points).any()  # other options: only a start
    first = next(step for step in map_space_steps(space, "umap", init=saved, top=100) if step.stage == "UMAP")
    assert first.done < 7 / 20 * first.total or first.done == first.total  # other labels: likewise


def test_a_saved_tsne_goes_on_at_its_iteration():
    space, _ = clusters()
    drawn = interrupted(space, "tsne", 12)
    steps = [step for step in map_space_steps(space, "tsne", init=drawn) if step.stage == "t-SNE"]
    assert steps[-1].total == 750 - round(12 / 20 * 750)
    whole = map_space(space, "tsne").quality["kl_divergence"]
    resumed = map_space(space, "tsne", init=drawn).quality["kl_divergence"]
    assert resumed == pytest.approx(whole, rel=0.05)  # without the momentum it had, another way to a minimum as deep


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_frames_show_the_map_growing(tmp_path, method):
    drawn = map_space(clusters()[0], method, frames=10)
    assert len(drawn.frames) == 11
    np.testing.assert_array_equal(drawn.frames[-1], drawn.points)
    np.testing.assert_array_equal(drawn.points, map_space(clusters()[0], method).points)
    from PIL import Image

    drawn.animate(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 11
        picture.seek(10)
        colours = {colour for _, colour in picture.convert("RGB").getcolors()}
    assert (0x33, 0x22, 0x88) in colours  # the first cluster's
    drawn.animate(tmp_path / "a.html")
    _, data = page_data(tmp_path / "a.html")
    assert [panel["frames"] for panel in data["panels"]] == [11]


def test_what_cannot_be_animated_is_refused(drawn, tmp_path):
    with pytest.raises(ArgumentError, match="nothing to animate"):
        drawn.animate(tmp_path / "a.gif")
    with pytest.raises(ArgumentError, match=r"saved as \.gif or \.html"):
        drawn.animate(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="PCA does not grow"):
        map_space(clusters()[0], "pca", frames=10)


def test_maps_are_compared_on_one_page(drawn, tmp_path):
    space = drawn.space
    compare([drawn, map_space(space, "tsne", dims=3, n_epochs=50)], tmp_path / "a.html")
    text, data = page_data(tmp_path / "a.html")
    assert NASTY not in text
    assert text.count("</script>") == 1
    assert "http" not in text
    assert data["labels"] == drawn.labels
    first, second = data["panels"]
    assert [first["name"], second["name"]] == ["PCA", "t-SNE"]
    assert ["trustworthiness", f"{drawn.quality['trustworthiness']:.3f}"] in first["told"]
    # Where points are on the page: those of the map, in a square, y downwards.
    import base64

    places = np.frombuffer(base64.b64decode(first["points"]), np.uint16).reshape(-1, 2) / 65_535.0
    inside = ((places > 0.001) & (places < 0.999)).all(axis=1)
    found = np.corrcoef(places[inside].T, drawn.points[inside].T)[[0, 1], [2, 3]]
    np.testing.assert_allclose(found, [1, -1], atol=1e-6)
    with pytest.raises(ArgumentError, match="of the same labels"):
        compare([drawn, map_space(space, "pca", top=50)], tmp_path / "a.html")
    with pytest.raises(ArgumentError, match="of the same labels"):
        compare([], tmp_path / "a.html")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("umap k=3", "a setting must be one of n_neighbors"),
        ("umap min_dist=far", "min_dist must be a number; got 'far'"),
    ],
)
def test_settings_out_of_place_are_named(text, message):
    with pytest.raises(ArgumentError, match=message):
        read_settings(text)


def test_points_are_coloured_by_trust():
    drawn = map_space(clusters()[0], "pca", colour="trust")
    np.testing.assert_array_equal(drawn.colours.values, drawn.trust)
    assert drawn.colours.kind == "number"


def test_pictures_are_dark_if_asked(drawn, tmp_path):
    from PIL import Image

    for dark, paper in ((False, (255, 255, 255)), (True, (0x12, 0x14, 0x1C))):
        drawn.save(tmp_path / "a.png", dark=dark)
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.convert("RGB").getpixel((5, 5)) == paper
        drawn.save(tmp_path / "a.svg", dark=dark)
        assert ("#12141c" in (tmp_path / "a.svg").read_text()) == dark


def test_trust_is_the_share_of_true_neighbours(drawn):
    space = drawn.space
    vectors = space.vectors[drawn.rows] / space.norms[drawn.rows, None]
    near = [np.argsort(-score, kind="stable") for score in vectors @ vectors.T]
    apart = [np.argsort(((drawn.points - p) ** 2).sum(1), kind="stable") for p in drawn.points]
    shares = [len(np.intersect1d(a[1:16], b[1:16])) / 15 for a, b in zip(near, apart, strict=True)]
    np.testing.assert_allclose(drawn.trust, shares, atol=1e-12)
    assert drawn.quality["neighbours_kept"] == pytest.approx(np.mean(shares), abs=1e-12)


def test_a_map_is_a_frame_and_a_plot(drawn):
    frame = drawn.frame()
    assert list(frame.columns) == ["label", "x", "y", "count", "kind", "weight"]
    assert frame["label"].tolist() == drawn.labels
    assert drawn.frame("polars").to_dicts() == frame.to_dict("records")
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert drawn.plot(ax=ax, s=9) is ax
    assert len(ax.collections[0].get_offsets()) == 120
    plt.close("all")


@pytest.mark.oracle
def test_pca_is_that_of_the_covariance():
    space, _ = clusters()
    found = map_space(space, "pca", metric="dot")
    vectors = space.vectors.astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    assert found.quality["variance_explained"] == pytest.approx((values[::-1][:2] / values.sum()).tolist(), rel=1e-6)
    projected = (vectors - vectors.mean(0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(found.points), np.abs(projected), rtol=1e-4, atol=1e-4)  # points are float32


@pytest.mark.oracle
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_quality_is_that_of_scikit_learn_and_scipy(metric):
    from scipy.stats import spearmanr
    from sklearn.manifold import trustworthiness as oracle
    from sklearn.metrics import pairwise_distances

    rng = np.random.default_rng(1)
    vectors, points = rng.standard_normal((200, 9)), rng.standard_normal((200, 2))
    found = measure(vectors, points, metric=metric)
    expected = oracle(vectors, points, n_neighbors=15, metric=metric)
    assert found.trustworthiness == pytest.approx(expected, abs=1e-12)
    if metric == "euclidean":  # continuity is the same of the two exchanged
        assert found.continuity == pytest.approx(oracle(points, vectors, n_neighbors=15), abs=1e-12)
    distances = [pairwise_distances(vectors, metric=metric), pairwise_distances(points)]
    upper = np.triu_indices(200, 1)
    all_pairs = spearmanr(distances[0][upper], distances[1][upper]).statistic
    assert found.distance_correlation == pytest.approx(all_pairs, abs=0.03)  # 50,000 pairs drawn: 6 / sqrt(50,000)
    # A sample of half the points: the mean of 100 of 200 terms of size below 1.
    assert measure(vectors, points, metric=metric, sample=100).trustworthiness == pytest.approx(expected, abs=0.05)


def test_quality_needs_enough_points():
    assert measure(np.ones((30, 2)), np.ones((30, 2))) == (None, None, None, None)


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize("case", ["few", "constant", "duplicates", "one dimension", "zeros", "two parts", "many equal"])
def test_degenerate_spaces_give_finite_maps(method, case):
    rng = np.random.default_rng(2)
    vectors = {
        "few": rng.standard_normal((4, 3)),
        "constant": np.ones((40, 3)),
        "duplicates": np.repeat(rng.standard_normal((5, 3)), 10, axis=0),
        "one dimension": rng.standard_normal((40, 1)),
        "zeros": np.zeros((40, 3)),
        "two parts": np.repeat([[1.0, 0, 0], [0, 0, 1]], 60, axis=0) + rng.standard_normal((120, 3)) * 0.01,
        "many equal": np.vstack([np.ones((1_800, 3)), rng.standard_normal((200, 3))]),
    }[case]
    found = map_space(Space(map(str, range(len(vectors))), vectors), method)
    assert np.isfinite(found.points).all()
    assert np.isfinite(found.place(vectors[:3])).all()


def test_which_labels_are_drawn():
    space, _ = clusters()
    assert map_space(space, "pca", top=10).labels == space.labels[:10].tolist()
    assert map_space(space, "pca", only=["w9", "w3", "w5", "w4"]).labels == ["w3", "w4", "w5", "w9"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(method="lda"), ArgumentError, "method must be one of umap, tsne, pca"),
        (dict(dims=4), ArgumentError, "dims must be in 2..3; got 4"),
        (dict(top=3), ArgumentError, "at least 4 points; got 3"),
        (dict(top=0), ArgumentError, "top must be at least 1"),
        (dict(only=["nobody"]), LabelError, "'nobody' is not in the space"),
        (dict(only="nobody"), ArgumentError, "only must be labels"),
        (dict(colour="nothing"), ArgumentError, "one of the columns, count, kind, weight; got 'nothing'"),
        (dict(colour="context"), ArgumentError, "one value a label, count, kind, weight; 'context' has 12 numbers"),
        (dict(metric="x"), ArgumentError, "metric must be one of"),
        (dict(n_neighbors=1), ArgumentError, "n_neighbors must be at least 2"),
        (dict(min_dist=2), ArgumentError, "min_dist must be at least 0 and at most 1"),
        (dict(perplexity=1), ArgumentError, "perplexity must be above 1"),
    ],
)
def test_options_out_of_range_are_named(options, error, message):
    with pytest.raises(error, match=message):
        map_space(clusters()[0], **options)


@pytest.mark.parametrize("colour", [None, "kind", "weight", "count"])
@pytest.mark.parametrize("dims", [2, 3])
def test_pictures_are_written(tmp_path, colour, dims):
    found = map_space(clusters()[0], "pca", dims=dims, colour=colour)
    for suffix, start in (
        (".png", b"\x89PNG"),
        (".svg", b"<?xml"),
        (".html", b"<!doctype html>"),
        (".csv", b"label,x,y"),
    ):
        path = tmp_path / f"a{suffix}"
        found.save(path)
        assert path.read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.html", "a.png", "a.svg"]
    svg = (tmp_path / "a.svg").read_text()
    assert ">w3</text>" in svg  # words stay words
    assert ", ".join(["The words of a.txt and 1 more"]) in svg
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["label", *"xyz"[:dims], "count", "kind", "weight"]
    assert rows[1][0] == NASTY
    assert len(rows) == 121


def test_a_legend_of_numbers_is_plain_text(tmp_path):
    space, _ = clusters()
    scales = {"small": 1e-4 * 10 ** np.linspace(0, 4, len(space)), "large": np.linspace(1e3, 2e4, len(space))}
    for name, wanted in (("small", {"0.001", "0.1"}), ("large", {"10k", "20k"})):
        coloured = Space(space.labels.tolist(), space.vectors, columns={name: scales[name]})
        map_space(coloured, "pca", colour=name).save(tmp_path / "a.svg")
        assert wanted <= set(re.findall(r">([\d.]+k?)</text>", (tmp_path / "a.svg").read_text()))


def test_a_group_far_out_does_not_squeeze_the_others():
    points = np.random.default_rng(0).uniform(0, 1, (1_000, 2))
    points[:12, 0] += 50  # more than a thousandth, less than a fiftieth
    low, high = frame(points)
    assert -0.1 < low[0] < 0.01
    assert 0.95 < high[0] < 1.1
    points[12:100, 0] += 50  # a large group is shown
    assert frame(points)[1][0] > 50


def test_other_suffixes_are_refused(drawn, tmp_path):
    with pytest.raises(ArgumentError, match=r"\.html, \.png, \.svg, \.csv or \.space; got .*a\.pdf"):
        drawn.save(tmp_path / "a.pdf")


def page_data(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.search(r"const data = (\{.*\});\n", text)[1])


def test_a_page_stands_alone_and_labels_are_harmless(drawn, tmp_path):
    drawn.save(tmp_path / "a.html")
    text, data = page_data(tmp_path / "a.html")
    assert NASTY not in text
    assert data["labels"][0] == NASTY
    assert text.count("</script>") == 1
    assert "http" not in text.replace("http-equiv", "")
    assert "innerHTML" not in text


def test_a_page_knows_the_neighbours_in_the_full_space(tmp_path):
    import base64

    space, _ = clusters()
    found = map_space(space, "pca", top=30)
    found.save(tmp_path / "a.html")
    _, data = page_data(tmp_path / "a.html")
    names = data["labels"] + data["strangers"]
    near = np.frombuffer(base64.b64decode(data["neighbours"]), np.int32).reshape(30, 10)
    for row in (0, 7, 29):
        label = data["labels"][row]
        expected = [name for name in space.nearest(label, 11).labels.tolist() if name != label]
        assert [names[i] for i in near[row]] == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
@settings(max_examples=25)
def test_no_label_lies_on_another_or_over_the_edge(seed, n):
    rng = np.random.default_rng(seed)
    points, sizes = rng.uniform(0, 500, (n, 2)), rng.uniform(5, 80, (n, 2))
    placed = place(points, sizes, 500, 400)
    boxes = [(x, y, x + sizes[label, 0], y + sizes[label, 1]) for label, x, y in placed]
    for i, a in enumerate(boxes):
        assert a[0] >= 0
        assert a[1] >= 0
        assert a[2] <= 500
        assert a[3] <= 400
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_columns_become_colours():
    space, which = clusters()
    rows = np.arange(120)
    kinds = column_colours(space, "kind", rows)
    assert kinds.names == ("x", "y", "z")
    np.testing.assert_array_equal(kinds.values, which)
    assert column_colours(space, "count", rows).log
    assert not column_colours(space, "weight", rows[1:]).log or space.columns["weight"].min() < 0.01


def test_metrics_all_work():
    for metric in METRICS:
        assert np.isfinite(map_space(clusters()[0], "tsne", metric=metric, top=40).points).all()


def test_a_space_draws_itself():
    assert clusters()[0].map("pca", top=20).points.shape == (20, 2)
    assert firth.map_space is map_space
