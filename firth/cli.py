"""The command `firth`: arguments in, progress and tables out; the work is the library's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

import firth
from firth._check import ArgumentError, FirthError
from firth.steps import drain

if TYPE_CHECKING:
    from firth.judging import AnalogyReport, SimilarityReport
    from firth.space import Space

app = typer.Typer(
    name="firth",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


# As in firth.search, firth.maps and firth.text, which take too long to import for --help.
Metric = Literal["dot", "cosine", "scaled", "euclidean"]
Method = Literal["umap", "tsne", "pca"]
Learner = Literal["word2vec", "cbow", "glove", "transformer"]
Tokens = Literal["words", "whitespace", "bpe"]
Sentences = Literal["line", "paragraph"]
Errors = Literal["strict", "replace"]
Positions = Literal["rope", "learned"]
Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "gpu"]

TABLES = (".parquet", ".arrow", ".csv")  # as in firth.formats.streams
GRAPHS = (*TABLES, ".npz")
GROUP_SHOWN = 20  # labels of a group that duplicates prints

PICTURE_LINES = 18  # of a map that forms on the terminal
INTERRUPTED = 130  # the exit code after Ctrl-C: 128 + SIGINT

SpacePath = Annotated[Path, typer.Argument(metavar="SPACE", help="A .space file, or any format that convert knows.")]
VectorsPath = Annotated[
    Path, typer.Argument(metavar="SPACE", help="A .space file, or any that convert knows; labels may be missing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="FILTER", help="Only these rows may answer: 'count > 100 and label != \"the\"'.", show_default="all"
    ),
]
Score = Annotated[float | None, typer.Option(help="All with this score or more.", show_default=False)]
Radius = Annotated[
    float | None, typer.Option(help="All within this distance, by --metric euclidean.", show_default=False)
]
Compared = Annotated[
    Metric | None, typer.Option(help="How vectors are compared.", show_default="cosine; with --radius euclidean")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


@app.command()
def learn(
    sources: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, globs; - is standard input.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .space file to write.")],
    method: Annotated[
        Learner | None, typer.Option(help="word2vec is skip-gram.", show_default="word2vec, or that of --continue")
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(help="Width of the vectors.", show_default="100; transformer 96; or that of --continue"),
    ] = None,
    window: Annotated[int | None, typer.Option(help="Words on each side.", show_default="5; glove 15")] = None,
    min_count: Annotated[int, typer.Option(help="Leave out rarer words.")] = 5,
    max_vocab: Annotated[
        int | None, typer.Option(help="Keep only so many words.", show_default="all; transformer 10000, bpe 8192")
    ] = None,
    phrases: Annotated[
        int | None, typer.Option(help="Passes that join words such as 'new york'.", show_default="0, or --continue's")
    ] = None,
    phrase_threshold: Annotated[
        float | None, typer.Option(help="Higher: fewer phrases.", show_default="100, or --continue's")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the text.", show_default="5; glove 15; transformer 1")
    ] = None,
    negatives: Annotated[int | None, typer.Option(help="Noise words a pair; word2vec, cbow.", show_default="5")] = None,
    sample: Annotated[
        float | None,
        typer.Option(help="Thin out words more frequent than this; 0: none; word2vec, cbow.", show_default="0.001"),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Learning rate at the start; falls to a twentieth (cbow: a tenth); word2vec, cbow.",
            show_default="0.025",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Learning rate of glove and transformer.", show_default="0.05; 0.003")
    ] = None,
    x_max: Annotated[
        float | None, typer.Option(help="Pairs that meet so often have full weight; glove.", show_default="100")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Blocks; transformer.", show_default="4")] = None,
    heads: Annotated[int | None, typer.Option(help="Of attention; transformer.", show_default="4")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens it sees; transformer.", show_default="64")] = None,
    positions: Annotated[
        Positions | None,
        typer.Option(help="Rotations, or a vector for each place; transformer.", show_default="rope"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Of training, instead of --epochs; transformer.", show_default="none")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Windows of --context tokens a step; transformer.", show_default="16")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Parts of a batch, for less memory; transformer.", show_default="1")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Of matrix products; transformer.", show_default="float32")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Of a transformer.", show_default="what JAX prefers")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small transformer, for a first look: 2 layers, dim 64, 4,000 words.")
    ] = False,
    seed: Annotated[int, typer.Option(help="With --threads 1 the same seed gives the same bytes.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads.", show_default="all cores")] = None,
    tokens: Annotated[
        Tokens | None,
        typer.Option(
            help="Unicode words, lower-cased; what white space parts; or byte-level BPE (transformer).",
            show_default="words, or --continue's",
        ),
    ] = None,
    sentences: Annotated[
        Sentences | None, typer.Option(help="What windows do not cross.", show_default="line, or --continue's")
    ] = None,
    errors: Annotated[Errors, typer.Option(help="Bytes that are not UTF-8: an error, or U+FFFD.")] = "strict",
    column: Annotated[
        str | None, typer.Option(help="Field of JSON lines or Parquet: text, or lists of items.", show_default="none")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--continue", help="Go on from this space, learned with --keep-context.", show_default="none"),
    ] = None,
    keep_context: Annotated[
        bool,
        typer.Option("--keep-context", help="Keep the output vectors, for predict and --continue; word2vec, cbow."),
    ] = False,
    keep_on_interrupt: Annotated[
        bool, typer.Option("--keep-on-interrupt", help="Ctrl-C saves what was learned.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Learn word vectors from text, or vectors of items from lists: word2vec, CBOW, GloVe, or a transformer.

    Reads plain text, .gz .xz .zst, JSON lines and Parquet. A transformer is a language model: the space is its embedding, and the
    model itself lies beside it, as .safetensors, for sample and attend. Interrupted, the same command goes on where it was.

    Example: firth learn corpus.txt -o words.space --phrases 2
    """
    _check_writable(out, (".space",), "learn writes .space files; `firth convert` makes other formats of them")
    from firth.learn.glove import GloVe, glove_steps
    from firth.learn.word2vec import Cbow, SkipGram, word2vec_steps
    from firth.text import Reading

    began = time.perf_counter()
    old = None if start is None else firth.Space.open(start)
    before = {} if old is None else {**old.recipe.get("options", {}), "method": old.recipe.get("method")}
    method = method or before.get("method") or "word2vec"
    of_transformer = {"layers": layers, "heads": heads, "context": context, "positions": positions, "steps": steps}
    of_transformer |= {"batch": batch, "accumulate": accumulate, "precision": precision, "device": device}
    if method == "transformer":
        from firth.cli_language import learn_transformer

        others = {"window": window, "phrases": phrases, "phrase_threshold": phrase_threshold, "negatives": negatives}
        others |= {"sample": sample, "alpha": alpha, "x_max": x_max, "continue": start}
        _not_for(method, others | {"keep_context": keep_context or None})
        chosen = of_transformer | {"dim": dim, "epochs": epochs, "rate": rate, "seed": seed, "max_vocab": max_vocab}
        reading = _given({"sentences": sentences}) | {"errors": errors, "min_count": min_count, "column": column}
        learn_transformer(sources, out, chosen, reading, tokens, threads, quick, keep_on_interrupt, quiet)
        return
    _not_for(method, of_transformer | {"quick": quick or None})
    if tokens == "bpe":
        raise ArgumentError(f"--tokens bpe is not an option of --method {method}; leave it out")
    chosen = {"tokens": tokens, "sentences": sentences, "phrases": phrases, "phrase_threshold": phrase_threshold}
    inherited = {name: before[name] for name in chosen if name in before}
    reading = Reading(
        errors=errors, min_count=min_count, max_vocab=max_vocab, column=column, **(inherited | _given(chosen))
    )
    width = dim if dim is not None or old is None else old.vectors.shape[1]
    common = {"dim": width, "window": window, "epochs": epochs, "seed": seed, "threads": threads}
    of_word2vec = {"negatives": negatives, "sample": sample, "alpha": alpha}
    of_glove = {"rate": rate, "x_max": x_max}
    if method == "glove":
        _not_for(method, of_word2vec | {"keep_context": keep_context or None, "continue": start})
        options = GloVe(**_given(common | of_glove))
        work = glove_steps(sources, options, reading, keep_on_interrupt=keep_on_interrupt)
    else:
        _not_for(method, of_glove)
        options = (Cbow if method == "cbow" else SkipGram)(**_given(common | of_word2vec))
        work = word2vec_steps(
            sources,
            options,
            reading,
            keep_context=keep_context or None,
            start=old,
            keep_on_interrupt=keep_on_interrupt,
        )
    space = _run(work, quiet)
    space.save(out)
    if not quiet:
        corpus = space.recipe["corpus"]
        partly = ""
        if "interrupted_at" in space.recipe:
            partly = f" (interrupted after {space.recipe['interrupted_at']:.0%} of the training)"
        _say(
            f"{out}: {len(space):,} words x {space.vectors.shape[1]}, from {corpus['tokens']:,} tokens in"
            f" {time.perf_counter() - began:.1f} s{partly}"
        )
        first = space.labels[min(len(space) - 1, 200)]
        _say(f"next: {_command()} ask {out} {first!r}   {_command()} map {out} -o map.html")


@app.command()
def ask(
    path: SpacePath,
    questions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EXPRESSION...", help="Such as 'king - man + woman'; none: asks for them.", show_default=False
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many answers.")] = 10,
    metric: Annotated[Metric, typer.Option(help="How vectors are compared.")] = "cosine",
    include_question: Annotated[
        bool, typer.Option("--include-question", help="Words of the question may answer.")
    ] = False,
    where: Where = None,
    way: Annotated[bool, typer.Option("--path", help="What lies on the way from one expression to another.")] = False,
    steps: Annotated[int | None, typer.Option(help="Of --path, with its ends.", show_default="7")] = None,
    as_json: Json = False,
) -> None:
    """Ask a space: semantic arithmetic and nearest labels, exact.

    + - * / with numbers and parentheses; quote labels with spaces: '"new york" - usa + france'. With no expression, reads
    them line by line. With --path, takes two: small large --path.

    Example: firth ask words.space 'king - man + woman'
    """
    space = firth.Space.open(path)
    mask = None if where is None else space.mask(where)
    if steps is not None and not way:
        raise ArgumentError("--steps goes with --path")
    if way and len(questions or []) != 2:
        raise ArgumentError(f"--path leads from one expression to another: give two; got {len(questions or [])}")

    def answer(question: str) -> None:
        if way and questions:
            hits = space.between(*questions, steps=7 if steps is None else steps, metric=metric, where=mask)
        else:
            hits = space.ask(question, k, metric=metric, include_question=include_question, where=mask)
        found = list(zip(hits.labels.tolist(), hits.scores.tolist(), hits.rows.tolist(), strict=True))
        if as_json:
            keyed = [{"label": label, "score": score, "row": row} for label, score, row in found]
            print(json.dumps({"expression": question, "metric": metric, "hits": keyed}, ensure_ascii=False))
        else:
            _print_hits(question, metric, found, space)

    if questions:
        for number, question in enumerate([" ... ".join(questions)] if way else questions):
            if number and not as_json:
                print()
            answer(question)
        return
    for question in _lines(f"{space!r}\nAsk, for instance: king - man + woman. Ctrl-D ends."):
        try:
            answer(question)
        except (FirthError, ValueError) as error:
            if not sys.stdin.isatty():
                raise
            _say(str(error))


@app.command()
def predict(
    path: SpacePath,
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="Words with a gap, such as 'the ___ of england'.", show_default=False),
    ],
    k: Annotated[int, typer.Option("-k", help="How many answers.")] = 10,
    window: Annotated[
        int | None, typer.Option(help="Words on each side of the gap that count.", show_default="as learned")
    ] = None,
    include_context: Annotated[bool, typer.Option("--include-context", help="Words of the text may answer.")] = False,
    as_json: Json = False,
) -> None:
    """Predict the word in a gap from the words around it, exact.

    Needs the output vectors: learn with --keep-context. Quote labels with spaces: '"new york" is a ___'.

    Example: firth predict words.space 'the ___ of england'
    """
    from firth.space import split_words

    space = firth.Space.open(path)
    if window is None:
        options = space.recipe.get("options")
        window = int(options.get("window", 5)) if isinstance(options, dict) else 5
    if window < 1:
        raise ArgumentError(f"--window must be at least 1; got {window}")
    for number, text in enumerate(texts):
        words = split_words(text)
        gaps = [place for place, word in enumerate(words) if not word.strip("_")]
        if len(gaps) != 1:
            raise ArgumentError(
                f"mark one gap with ___, as in 'the ___ of england'; {text!r} has {len(gaps) or 'none'}"
            )
        gap = gaps[0]
        context = words[max(0, gap - window) : gap] + words[gap + 1 : gap + 1 + window]
        hits = space.predict(context, k, include_context=include_context)
        found = list(zip(hits.labels.tolist(), hits.scores.tolist(), hits.rows.tolist(), strict=True))
        if as_json:
            keyed = [{"label": label, "score": score, "row": row} for label, score, row in found]
            print(json.dumps({"text": text, "context": context, "hits": keyed}, ensure_ascii=False))
            continue
        if number:
            print()
        _print_hits(text, "score", found, space)


@app.command()
def search(
    path: VectorsPath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="A .parquet, .arrow or .csv file.")],
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Vectors, in any format that convert knows.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Or labels of SPACE, one a line: their vectors ask.", show_default=False),
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="How many answers a query.", show_default="10")] = None,
    score: Score = None,
    radius: Radius = None,
    metric: Compared = None,
    where: Where = None,
    quiet: Quiet = False,
) -> None:
    """Search a space for many queries, exact, and write the answers to a table.

    A row for each answer: query (its label, or its row), rank, label, row, score. .npy, .arrow, .space and .parquet files of
    queries may be larger than memory.

    Example: firth search words.space --queries q.npy -o found.parquet
    """
    _check_writable(out, TABLES, f"a table is written as {', '.join(TABLES)}")
    asked = queries if labels is None else _label_file(labels)
    if asked is None or (queries and labels):
        raise ArgumentError("give the queries by either --queries or --labels")
    if k is not None and (score, radius) != (None, None):
        raise ArgumentError("-k does not go with --score and --radius, which find all; leave it out")
    from firth.bulk import open_space, search_steps

    began = time.perf_counter()
    space = open_space(path)
    steps = search_steps(
        space,
        asked,
        out,
        k=10 if k is None else k,
        score=score,
        radius=radius,
        metric=_compared(metric, radius),
        where=where,
    )
    written = _run(steps, quiet)
    if not quiet:
        _say(
            f"{out}: {written.answers:,} answers to {written.queries:,} queries of {len(space):,} labels"
            f" in {time.perf_counter() - began:.1f} s"
        )


@app.command()
def neighbors(
    path: VectorsPath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="A .parquet, .arrow, .csv or .npz file.")],
    k: Annotated[int, typer.Option("-k", help="How many neighbours.")] = 15,
    metric: Annotated[Metric, typer.Option(help="How vectors are compared.")] = "cosine",
    quiet: Quiet = False,
) -> None:
    """Find the nearest neighbours of every label, exact: the graph as a table or a sparse matrix.

    The table is that of search. A .npz, for scipy.sparse.load_npz, holds distances: 1 - cosine, or euclidean.

    Example: firth neighbors words.space -o graph.parquet
    """
    _check_writable(out, GRAPHS, f"a graph is written as {', '.join(GRAPHS)}")
    from firth.bulk import graph_steps, open_space

    began = time.perf_counter()
    space = open_space(path)
    written = _run(graph_steps(space, out, k, metric=metric), quiet)
    if not quiet:
        _say(f"{out}: {k} neighbours of {written.queries:,} labels by {metric} in {time.perf_counter() - began:.1f} s")


@app.command()
def duplicates(
    path: VectorsPath,
    score: Annotated[
        float | None, typer.Option(help="Pairs with this score or more.", show_default="0.95 for cosine")
    ] = None,
    radius: Radius = None,
    metric: Compared = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Write pairs to a .parquet, .arrow or .csv file.", show_default=False
        ),
    ] = None,
    most: Annotated[int, typer.Option(help="Stop at more pairs: the score is too low.")] = 20_000_000,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find labels whose vectors are nearly equal, exact, in groups.

    A group is what hangs together by pairs; two of its labels may be less alike. With -o writes a row for each pair: group,
    label, other, row, other_row, score.

    Example: firth duplicates words.space --score 0.95
    """
    if out is not None:
        _check_writable(out, TABLES, f"a table is written as {', '.join(TABLES)}")
    from firth.bulk import duplicates_steps, open_space, write_pairs

    metric = _compared(metric, radius)
    if score is None and radius is None and metric == "cosine":
        score = 0.95
    space = open_space(path)
    pairs = _run(duplicates_steps(space, score, radius=radius, metric=metric, most=most), quiet)
    groups = pairs.groups()
    if out is not None:
        write_pairs(space, pairs, groups, out)
    if as_json:
        for rows in groups:
            print(json.dumps({"labels": space.labels[rows].tolist(), "rows": rows.tolist()}, ensure_ascii=False))
    elif out is None:
        for rows in groups:
            more = f"  ... and {len(rows) - GROUP_SHOWN:,} more" if len(rows) > GROUP_SHOWN else ""
            print("  ".join(space.labels[rows[:GROUP_SHOWN]].tolist()) + more)
    if not quiet:
        size = sum(map(len, groups))
        limit = f"a score of {score:g} or more" if radius is None else f"a distance of {radius:g} or less"
        _say(
            f"{f'{out}: ' if out else ''}{_count(len(pairs.rows), 'pair')} with {limit} ({metric}),"
            f" {_count(len(groups), 'group')} of {size:,} of {len(space):,} labels"
        )


@app.command()
def judge(
    path: SpacePath,
    sets: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Analogies, or pairs of words with scores.")],
    restrict: Annotated[int, typer.Option(help="Analogies among the most frequent labels only.")] = 30_000,
    as_json: Json = False,
) -> None:
    """Measure a space on analogies (3CosAdd, 3CosMul) and similarities (Spearman).

    Files as of Google's questions-words.txt (': category', then four words a line), or two words and a score a line.

    Example: firth judge words.space questions-words.txt wordsim353.tsv
    """
    from firth.judging import SimilarityReport

    space = firth.Space.open(path)
    for number, file in enumerate(sets):
        report = firth.judge(space, file, restrict=restrict)
        if as_json:
            print(json.dumps(report.as_dict(), ensure_ascii=False))
            continue
        if number:
            print()
        if isinstance(report, SimilarityReport):
            _print_similarity(report)
        else:
            _print_analogies(report)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The file to read.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write.")],
    source_format: Annotated[
        str | None, typer.Option("--from", help="Format of SOURCE.", show_default="told by content")
    ] = None,
    target_format: Annotated[
        str | None, typer.Option("--to", help="Format of TARGET.", show_default="by its suffix")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of a .npy or safetensors file, one a line.", show_default="x.labels.txt")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Convert vectors between formats, both ways.

    space, word2vec (text), word2vec-binary, glove, npy, parquet, safetensors, csv, tsv. gensim's KeyedVectors come and go by
    word2vec.

    Example: firth convert glove.txt words.space
    """
    from firth.formats import read, write

    began = time.perf_counter()
    parts = read(source, format=source_format, labels=labels)
    lost = write(parts, target, format=target_format)
    if not quiet:
        n, d = parts.vectors.shape
        _say(f"{target}: {n:,} labels x {d}, from {source} in {time.perf_counter() - began:.1f} s")
        if lost:
            _say(f"not kept, {target.suffix or target_format} has no place for it: {', '.join(lost)}")


@app.command("map")
def draw(
    path: SpacePath,
    out: Annotated[
        list[Path],
        typer.Option("--out", "-o", metavar="PATH", help="A .html, .png, .svg, .csv or .space file; may be repeated."),
    ],
    method: Annotated[Method, typer.Option(help="How to reduce the space.")] = "umap",
    dims: Annotated[int, typer.Option(help="2 or 3.")] = 2,
    top: Annotated[
        int | None, typer.Option(help="Only so many labels, the most frequent.", show_default="10,000")
    ] = None,
    only: Annotated[
        Path | None, typer.Option(help="Only the labels in this file, one a line.", show_default="all")
    ] = None,
    colour: Annotated[str | None, typer.Option(help="Column to colour by, or trust.", show_default="clusters")] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Pictures on a dark ground.")] = False,
    metric: Annotated[Metric, typer.Option(help="How vectors are compared.")] = "cosine",
    neighbors: Annotated[int, typer.Option(help="UMAP: neighbours of a point, itself among them.")] = 15,
    min_dist: Annotated[float, typer.Option(help="UMAP: how near points may come.")] = 0.1,
    perplexity: Annotated[float, typer.Option(help="t-SNE: about how many neighbours count.")] = 30.0,
    init: Annotated[
        Path | None,
        typer.Option(help="Start from a map saved as .space; one that was interrupted goes on.", show_default="none"),
    ] = None,
    animate: Annotated[
        Path | None, typer.Option(help="A .gif or .html file of the map growing.", show_default="none")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'METHOD NAME=VALUE ...'",
            help="A map on a page of several, side by side; to be repeated.",
            show_default="none",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Draw a space: UMAP, t-SNE or PCA, as a page, a picture or a table.

    The page is one file that works offline: zoom, search, and on a click the nearest neighbours in the full space.

    Example: firth map words.space -o map.html -o map.png
    """
    suffixes = (".html",) if compare else (".html", ".png", ".svg", ".csv", ".space")
    can = "maps that are compared are saved as .html" if compare else f"a map can be saved as {', '.join(suffixes)}"
    for target in out:
        _check_writable(target, suffixes, can)
    if animate and compare:
        raise ArgumentError("--animate is of one map, --compare of several: leave one of them out")
    if animate in out:
        raise ArgumentError(f"--animate and --out must be different files; got {animate} twice")
    if animate:
        _check_writable(animate, (".gif", ".html"), "an animation can be saved as .gif or .html")
    from firth.maps import map_space_steps
    from firth.maps.panels import FRAMES, read_settings

    space = firth.Space.open(path)
    options: dict[str, Any] = dict(
        method=method,
        dims=dims,
        top=top if top is not None else (None if only else 10_000),
        only=_label_file(only) if only else None,
        colour=colour,
        metric=metric,
        n_neighbors=neighbors,
        min_dist=min_dist,
        perplexity=perplexity,
        init=firth.Space.open(init) if init else None,
        frames=FRAMES if animate else 0,
        seed=seed,
    )
    if compare:
        from firth.maps import compare as save_comparison

        each = [read_settings(text) for text in compare]  # all are read before the first is made
        maps = [_run(map_space_steps(space, **{**options, **settings}), quiet) for settings in each]
        for target in out:
            save_comparison(maps, target)
            if not quiet:
                _say("\n".join([f"{target}:", *(f"  {drawn.summary}" for drawn in maps)]))
        return
    drawn = _run(map_space_steps(space, **options, keep_on_interrupt=True), quiet)
    if (share := drawn.recipe.get("interrupted_at")) is not None:
        _say(f"interrupted at {share:.0%}: this is the map reached so far")
    for target in out:
        drawn.save(target, dark=dark)
        if not quiet:
            _say(f"{target}: {drawn.summary}")
    if animate:
        drawn.animate(animate)
        if not quiet:
            _say(f"{animate}: {len(drawn.frames)} pictures of it growing")


@app.command()
def info(path: SpacePath, as_json: Json = False) -> None:
    """Tell what is in a space: its size, columns, recipe and first labels.

    Example: firth info words.space
    """
    space = firth.Space.open(path)
    n, d = space.vectors.shape
    told: dict[str, Any] = {
        "labels": n,
        "dimensions": d,
        "columns": {
            name: " x ".join(map(str, (*column.shape[1:], column.dtype))) for name, column in space.columns.items()
        },
        "recipe": dict(space.recipe),
        "first": space.labels[:10].tolist(),
    }
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    print(f"{path}: {n:,} labels x {d} dimensions")
    print(f"first labels  {', '.join(told['first'])}")
    for name, kind in told["columns"].items():
        print(f"column        {name} ({kind})")
    for key, value in told["recipe"].items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        print(f"{key:13} {text}")


@app.command()
def demo(
    text8: Annotated[
        bool, typer.Option("--text8", help="Download text8 (31 MB, cached) and ask about kings and queens.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the space and the map.")] = Path("firth-demo"),
    threads: Annotated[int | None, typer.Option(help="Threads.", show_default="all cores")] = None,
) -> None:
    """Learn from the docstrings of this machine's Python packages, ask, and draw the map.

    Offline, in about a minute; nothing is shipped: the text is gathered here and now.

    Example: firth demo
    """
    from firth.demo import demo_steps, summary

    result = _run(demo_steps(out, text8=text8, threads=threads), quiet=False)
    corpus = result.space.recipe["corpus"]
    kind = "text8" if text8 else "the docstrings on this machine"
    print(f"\nLearned {len(result.space):,} words from {corpus['tokens']:,} words of {kind}.\n")
    asked = summary(result.asked)
    width = max((len(question) for question, _ in asked), default=0)
    for question, answers in asked:
        best, *others = [f"{label} {score:.2f}" for label, score in answers]
        print(f"  {question:>{width}}  =  {_bold(best)}   {'  '.join(others)}")
    print(f"\nThe map ({result.map.summary}):")
    print(f"  {result.html_path.resolve()}   open it in a browser: zoom, search, click")
    print(f"  {result.png_path.resolve()}")
    print(f"\nAll in {result.elapsed_s:.0f} s. Now ask your own:")
    print(f"  {_command()} ask {result.space_path} '{asked[0][0] if asked else 'python'}'")
    print(f"  {_command()} learn YOUR_TEXT -o words.space")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False) -> None:
    """Learn, search and show vector spaces.

    Try: firth demo
    """
    if version:
        print(f"firth {firth.__version__}")
        raise typer.Exit


# Options


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Those that were given; the others have defaults of their own."""
    return {name: value for name, value in options.items() if value is not None}


def _not_for(method: str, options: dict[str, Any]) -> None:
    """Refuse options of other methods."""
    for name in _given(options):
        raise ArgumentError(f"--{name.replace('_', '-')} is not an option of --method {method}; leave it out")


def _compared(metric: Metric | None, radius: float | None) -> Metric:
    return metric or ("cosine" if radius is None else "euclidean")


# Printing


def _print_hits(question: str, metric: str, found: list[tuple[str, float, int]], space: Space) -> None:
    count = space.columns.get("count")
    if count is not None and (count.ndim > 1 or count.dtype.kind not in "iuf"):
        count = None
    width = max(20, *(len(label) for label, _, _ in found))
    head = f"{'':4}{_bold(question)}{' ' * max(2, width + 2 - len(question))}{metric:>9}"
    print(head + ("       count" if count is not None else ""))
    for rank, (label, score, row) in enumerate(found, 1):
        print(f"{rank:>3} {label:{width}}  {score:9.4f}" + (f"  {count[row]:>10,}" if count is not None else ""))


def _table(
    title: str, columns: list[tuple[str, Any]], rows: list[tuple[str, ...]], *, last: bool = False, wrap: bool = False
) -> None:
    """A table on standard output: headings with their justification, `last` sets the last row off.

    As wide as it needs to be where that is no terminal; or sentences wrapped to what is easily read, with room between rows.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    head = any(name for name, _ in columns)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_header=head, show_lines=wrap)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=not wrap)
    for number, row in enumerate(rows):
        table.add_row(*row, end_section=last and number == len(rows) - 2)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() or wrap else 200
    Console(width=min(width, 120) if wrap else width, highlight=False).print(table)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _per_cent(share: float | None) -> str:
    return "    -" if share is None else f"{100 * share:5.1f}"


def _print_analogies(report: AnalogyReport) -> None:
    print(f"{_bold(report.path)}: analogies, among the {report.restrict:,} most frequent labels")
    width = max(len(score.name) for score in report.categories)
    print(f"  {'':{width}}  3CosAdd %  3CosMul %       covered")
    totals = [score for score in (report.semantic, report.syntactic, report.total) if score is not None]
    for score in (*report.categories, *totals):
        if totals and score is totals[0]:
            print(f"  {'-' * (width + 38)}")
        covered = f"{score.covered:,} of {score.questions:,}"
        print(f"  {score.name:{width}}  {_per_cent(score.cos_add):>9}  {_per_cent(score.cos_mul):>9}  {covered:>16}")
    _print_reference(report)


def _print_similarity(report: SimilarityReport) -> None:
    value = "not defined" if report.spearman is None else f"{100 * report.spearman:.1f}"
    print(f"{_bold(report.path)}: similarities")
    print(f"  Spearman x 100  {value}   ({report.covered:,} of {report.pairs:,} pairs covered)")
    _print_reference(report)


def _print_reference(report: AnalogyReport | SimilarityReport) -> None:
    if report.reference:
        print("  published, of other corpora:")
        for figure in report.reference:
            print(
                f"    {figure.total:5.1f}  {figure.method}, {figure.dims} dimensions, {figure.corpus} ({figure.source})"
            )


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[1m{text}\x1b[0m"


def _command() -> str:
    """How to call this command: by its name where the shell finds it."""
    found, here = shutil.which("firth"), Path(sys.argv[0])
    if here.name == "__main__.py":
        return "python -m firth"
    return "firth" if found and here.exists() and os.path.samefile(found, here) else os.path.relpath(here)


def _say(text: str) -> None:
    """To a person, on stderr: stdout is for results."""
    print(text, file=sys.stderr)


# Reading


def _lines(greeting: str) -> Iterator[str]:
    """Questions, one a line: from a person, with a prompt and a history; or from a pipe."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - input() gets a history by it

    _say(greeting)
    with contextlib.suppress(EOFError):
        while True:
            if line := input("> ").strip():
                yield line
    print()


def _label_file(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{path}: not UTF-8 (byte {error.start}); one label a line is expected") from None


def _check_writable(path: Path, suffixes: tuple[str, ...], what: str) -> None:
    """Find out before the work whether its result can be kept."""
    if path.suffix.lower() not in suffixes:
        raise ArgumentError(f"cannot write {path}: {what}")
    if not path.parent.is_dir():
        raise ArgumentError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ArgumentError(f"cannot write {path}: {'it is a folder' if path.is_dir() else 'no permission'}")


# Progress


def _run(steps: Generator[Any, None, Any], quiet: bool) -> Any:
    """Run a generator of steps, drawing them; Ctrl-C reaches the generator, which may still return something."""
    with _display(quiet) as show, _lost_interrupts() as lost:
        try:
            while True:
                show(next(steps))
                if lost:
                    raise lost.pop()
        except StopIteration as end:
            return end.value
        except KeyboardInterrupt:  # while drawing; raised within the generator, it has had its chance
            try:
                steps.throw(KeyboardInterrupt())
            except StopIteration as end:
                return end.value
            return drain(steps)  # it goes on with what it has


@contextlib.contextmanager
def _lost_interrupts() -> Iterator[list[KeyboardInterrupt]]:
    """The interrupts that Python could raise to nobody, as in a callback of the garbage collector, of which JAX has one."""
    lost: list[KeyboardInterrupt] = []
    before = sys.unraisablehook

    def hear(told: Any) -> None:
        if isinstance(told.exc_value, KeyboardInterrupt):
            lost.append(KeyboardInterrupt())
        else:
            before(told)

    sys.unraisablehook = hear
    try:
        yield lost
    finally:
        sys.unraisablehook = before


def _told(step: Any) -> tuple[str, float, float, str]:
    """Stage, done, total (0: unknown) and details of a step."""
    if hasattr(step, "done_words"):
        rates = f"{_short(step.words_per_s)} words/s  {_rate(step.flops_per_s)}  loss {step.loss:.2f}"
        left = f"  epoch {step.epoch}/{step.epochs}  {step.left_s:.0f} s left"
        return "learning", step.done_words, step.total_words, rates + left
    if hasattr(step, "perplexity"):
        peak = "" if step.share_of_peak is None else f" ({step.share_of_peak:.0%} of peak)"
        told = f"loss {step.loss:.2f}  perplexity {step.perplexity:.0f}  {_short(step.tokens_per_s)}tokens/s"
        told += f"  {_short(step.flops_per_s)}FLOP/s{peak}  {step.left_s:.0f} s left"
        return "learning", step.step, step.steps, told
    if hasattr(step, "phase"):
        loss, keys = step.losses, len(step.frequencies)
        told = f"loss {loss.train_loss:.2g} ({loss.train_accuracy:.0%} right)"
        told += f", test {loss.test_loss:.2g} ({loss.test_accuracy:.0%} right)"
        told += f"  restricted {loss.restricted_loss:.2g}  excluded {loss.excluded_loss:.2g}  {keys} frequencies"
        return step.phase, step.step, step.steps, f"{told}  {_rate(step.flops_per_s)}  {step.left_s:.0f} s left"
    if hasattr(step, "left_s"):
        return "counting", step.done, 1.0, f"{step.left_s:.0f} s left"
    if hasattr(step, "done_bytes"):
        rate = f"{_short(step.tokens)} tokens"
        if step.elapsed_s > 0 and step.done_bytes:
            rate += f"  {_short(step.done_bytes / step.elapsed_s)}B/s"
        return "reading", step.done_bytes, step.total_bytes or 0, rate
    detail = f"{step.done:,} of {step.total:,}" if step.total > 1 else ""
    if getattr(step, "loss", None) is not None:
        detail += f"  loss {step.loss:.3g}"
    if step.stage.startswith("downloading"):
        detail = f"{step.done / 1e6:.1f} of {step.total / 1e6:.1f} MB"
    return step.stage, step.done, step.total, detail


def _rate(flops_per_s: float) -> str:
    """FLOP/s, and their share of this machine's float32 peak once `firth ladder` has measured it: nothing is measured unasked."""
    from firth.roofline import measured

    roof = measured()
    return f"{_short(flops_per_s)}FLOP/s" + (f" ({flops_per_s / roof.flops_per_s:.0%} of the peak)" if roof else "")


def _short(number: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{number:.3g} "


@contextlib.contextmanager
def _display(quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Something that draws steps on stderr: bars on a terminal, a line for each stage elsewhere."""
    if quiet:
        yield lambda step: None
        return
    if not sys.stderr.isatty():
        said: set[str] = set()

        def tell(step: Any) -> None:
            stage = _told(step)[0]
            if stage not in said:
                said.add(stage)
                _say(f"{stage} ...")

        yield tell
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    class Bars(Progress):
        picture = ""

        def get_renderables(self) -> Iterator[Any]:
            yield self.make_tasks_table(self.tasks)
            if self.picture:
                yield self.picture

    console = Console(stderr=True)
    wide = console.width >= 110
    columns = [
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<15}" if wide else "{task.description}"),
        BarColumn(bar_width=24 if wide else 6),
        *([TimeElapsedColumn()] if wide else []),
        TextColumn("{task.fields[detail]}", style="dim", table_column=Column(no_wrap=True, overflow="ellipsis")),
    ]
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def finish(task: Any) -> None:
            total = bars.tasks[task].total or 1
            bars.update(task, total=total, completed=total)

        def draw_step(step: Any) -> None:
            stage, done, total, detail = _told(step)
            if stage not in tasks:
                for task in tasks.values():
                    finish(task)
                tasks[stage] = bars.add_task(stage, total=total or None, detail=detail)
            bars.picture = ""
            if (points := getattr(step, "points", None)) is not None and console.height > PICTURE_LINES + 8:
                from firth.maps.panels import in_letters

                bars.picture = in_letters(points, min(console.width - 2, 3 * PICTURE_LINES), PICTURE_LINES)
                if (left := bars.tasks[tasks[stage]].time_remaining) is not None:
                    detail += f"  {left:.0f} s left"
            bars.update(tasks[stage], completed=done, total=total or None, detail=detail)

        yield draw_step
        bars.picture = ""
        for task in tasks.values():
            finish(task)


# Entry


def main() -> None:
    """Run the command; errors become one message and an exit code: 1, or 2 for wrong usage, or 130 for Ctrl-C."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (FirthError, OSError, MemoryError) as error:
        if os.environ.get("FIRTH_DEBUG"):
            raise
        _fail(_message(error), 1)
    except Exception as error:
        show, exit_code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is None or exit_code is None:  # a bug of ours
            raise
        show()  # wrong usage
        sys.exit(exit_code)
    if code == INTERRUPTED:  # which is also how Typer reports Ctrl-C
        _say_wrong("interrupted; nothing is left half-written")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # threads of JAX may still compute, and crash where the interpreter is taken apart
    sys.exit(code or 0)


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _fail(message: str, code: int) -> NoReturn:
    _say_wrong(message)
    sys.exit(code)


def _say_wrong(message: str) -> None:
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    _say(f"\x1b[31mfirth:\x1b[0m {message}" if colour else f"firth: {message}")


from firth import cli_ladder, cli_grok, cli_health, cli_language, cli_rows  # noqa: E402, F401, I001 - further commands, in the order of the help
