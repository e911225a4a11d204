"""Measure a space on what people know: analogies (man is to king as woman is to ...) and similar pairs of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from firth._check import FileFormatError, check_int
from firth.ranks import spearman

if TYPE_CHECKING:
    from firth.space import Space

EPS = 1e-3  # Levy & Goldberg 2014, section 3.1: keeps the denominator of 3CosMul from zero
QUESTIONS = 128  # in one step
CANDIDATES = 2048  # in one step: QUESTIONS x CANDIDATES scores stay in the cache


class Reference(NamedTuple):
    """A published figure for a known set, in per cent (analogies) or 100 times the rank correlation (similarities)."""

    method: str
    corpus: str
    dims: int
    semantic: float | None
    syntactic: float | None
    total: float
    source: str


class CategoryScore(NamedTuple):
    """How a category, or several together, went.

    Attributes
    ----------
    questions, covered
        Questions asked, and those of which the space has all four words; the accuracies are of the covered ones.
    cos_add, cos_mul
        Share of right answers by 3CosAdd and by 3CosMul, 0..1; None if nothing is covered.
    """

    name: str
    questions: int
    covered: int
    cos_add: float | None
    cos_mul: float | None


class AnalogyReport(NamedTuple):
    """What `judge` found on a set of analogies.

    Attributes
    ----------
    total, semantic, syntactic
        Over all categories; and apart, if the set has syntactic categories: those whose names begin with "gram".
    categories
        One by one, in the order of the file.
    restrict
        How many labels were candidates.
    reference
        Published figures for this set, if it is a known one. They are of other corpora, and most of the whole vocabulary.
    """

    path: str
    restrict: int
    total: CategoryScore
    semantic: CategoryScore | None
    syntactic: CategoryScore | None
    categories: list[CategoryScore]
    reference: list[Reference]

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        return _plain(self)


class SimilarityReport(NamedTuple):
    """What `judge` found on a set of pairs with people's scores.

    Attributes
    ----------
    pairs, covered
        Pairs in the set, and those of which the space has both words.
    spearman
        Rank correlation of people's scores and cosines over the covered pairs, -1..1; None where it is not defined.
    reference
        Published figures for this set, if it is a known one; of other corpora.
    """

    path: str
    pairs: int
    covered: int
    spearman: float | None
    reference: list[Reference]

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        return _plain(self)


GLOVE_2 = "Pennington, Socher & Manning 2014, table 2"
GLOVE_3 = "Pennington, Socher & Manning 2014, table 3"
MIKOLOV_4 = "Mikolov, Chen, Corrado & Dean 2013, table 4"
GOOGLE_REFERENCE = [
    Reference("skip-gram", "783M words of news", 300, 50.0, 55.9, 53.3, MIKOLOV_4),
    Reference("CBOW", "6B words of Wikipedia and news", 300, 63.6, 67.4, 65.7, GLOVE_2),
    Reference("skip-gram", "6B words of Wikipedia and news", 300, 73.0, 66.0, 69.1, GLOVE_2),
    Reference("GloVe", "6B words of Wikipedia and news", 300, 77.4, 67.0, 71.7, GLOVE_2),
]
WORDSIM_REFERENCE = [
    Reference("CBOW", "6B words of Wikipedia and news", 300, None, None, 57.2, GLOVE_3),
    Reference("skip-gram", "6B words of Wikipedia and news", 300, None, None, 62.8, GLOVE_3),
    Reference("GloVe", "6B words of Wikipedia and news", 300, None, None, 65.8, GLOVE_3),
]


class Analogies(NamedTuple):
    """A file of analogies, as read."""

    categories: list[str]
    words: list[tuple[str, str, str, str]]
    places: list[int]  # which category each belongs to


class Pairs(NamedTuple):
    """A file of scored pairs, as read."""

    words: list[tuple[str, str]]
    scores: list[float]


def judge(space: Space, path: str | Path, *, restrict: int | None = 30_000) -> AnalogyReport | SimilarityReport:
    r"""Measure a space on a set of analogies or of similar pairs, whichever the file holds.

    Analogies: lines `: category` and of four words, a b c d. For a is to b as c is to ?, the answer is the label x with the
    highest cos(x, b) - cos(x, a) + cos(x, c) (3CosAdd), or cos(x, b) cos(x, c) / (cos(x, a) + 0.001) with cosines moved
    to 0..1 (3CosMul); a, b and c cannot be the answer. About 2 u r d operations and 10 r a question, for u words in the
    questions and r candidates. Similarities: two words and a score on each line, separated by tabs, commas or spaces; the
    cosines' rank correlation (Spearman) with the scores. Lines that begin with # and a header line are passed over.

    A word is looked up as it is written and, if the space has no such label, in lower case.

    Parameters
    ----------
    space
        What to measure.
    path
        The set.
    restrict
        Analogies: only so many of the most frequent labels (by column `count`, else by row) may be asked for and answer;
        None: all. Similarities are measured on the whole space.

    Raises
    ------
    FileFormatError
        If a line is malformed: file, line, what was expected and found.
    OSError
        If the file cannot be opened.

    Notes
    -----
    O. Levy and Y. Goldberg: Linguistic regularities in sparse and explicit word representations. CoNLL 2014.

    Examples
    --------
    >>> import tempfile, firth
    >>> path = Path(tempfile.mkdtemp()) / "pairs.txt"
    >>> _ = path.write_text("tea,milk,8\ntea,nail,1\nmilk,nail,2\n")
    >>> space = firth.Space(["tea", "milk", "nail"], [[1.0, 0.2], [0.9, 0.4], [0.0, 1.0]])
    >>> report = judge(space, path)
    >>> report.covered, report.spearman
    (3, 1.0)
    """
    if restrict is not None:
        check_int("restrict", restrict, 1, meaning="labels, or None for all")
    questions = read_set(path)
    if isinstance(questions, Pairs):
        return _judge_pairs(space, str(path), questions)
    return _judge_analogies(space, str(path), questions, restrict)


# Reading


def read_set(path: str | Path) -> Analogies | Pairs:
    """Read a file of analogies or of scored pairs."""
    data = Path(path).read_bytes()
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFormatError(f"{path}, line {line}: UTF-8 expected, found byte 0x{data[error.start]:02x}") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    numbered = [(number, line) for number, line in numbered if line and not line.startswith(("#", "//"))]
    if not numbered:
        raise FileFormatError(
            f"{path}: no questions; analogies (': category', then four words a line) or pairs expected"
        )
    found = _read_analogies(path, numbered) if numbered[0][1].startswith(":") else _read_pairs(path, numbered)
    if not found.words:
        raise FileFormatError(f"{path}: no questions after line {numbered[0][0]}")
    return found


def _read_analogies(path: str | Path, lines: Sequence[tuple[int, str]]) -> Analogies:
    found = Analogies([], [], [])
    for number, line in lines:
        if line.startswith(":"):
            name = line[1:].strip()
            if not name:
                raise FileFormatError(f"{path}, line {number}: the name of a category expected after ':'")
            found.categories.append(name)
            continue
        words = line.split()
        if len(words) != 4:
            raise FileFormatError(f"{path}, line {number}: four words expected, found {len(words)}: {line[:60]!r}")
        found.words.append((words[0], words[1], words[2], words[3]))
        found.places.append(len(found.categories) - 1)
    return found


def _read_pairs(path: str | Path, lines: Sequence[tuple[int, str]]) -> Pairs:
    found = Pairs([], [])
    for place, (number, line) in enumerate(lines):
        mark = "\t" if "\t" in line else "," if "," in line else None
        fields = [field.strip() for field in line.split(mark)]
        score = _score(fields[2]) if len(fields) >= 3 and fields[0] and fields[1] else None
        if score is None:
            if place == 0 and len(fields) >= 3 and not any(re.fullmatch(r"[-+.\d]+", field) for field in fields):
                continue  # a header: names and no number
            raise FileFormatError(
                f"{path}, line {number}: two words and a score expected, found {line[:60]!r} (a set of analogies begins"
                " with a line ': category')"
            )
        found.words.append((fields[0], fields[1]))
        found.scores.append(score)
    return found


def _score(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


# Measuring


def _find(words: Sequence[Sequence[str]], index: dict[str, int]) -> np.ndarray:
    """Rows of words, (questions, words); -1 where the space has none."""
    distinct = {word for question in words for word in question}
    rows = {word: index.get(word, index.get(word.lower(), -1)) for word in distinct}
    return np.array([[rows[word] for word in question] for question in words], dtype=np.int64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _judge_analogies(space: Space, path: str, questions: Analogies, restrict: int | None) -> AnalogyReport:
    order = space.most_frequent(len(space))[:restrict]
    labels: list[str] = space.labels.tolist()
    rows = _find(questions.words, {labels[row]: place for place, row in enumerate(order.tolist())})
    covered = (rows >= 0).all(axis=1)
    right = np.zeros((len(rows), 2), dtype=bool)  # by 3CosAdd and by 3CosMul
    asked = rows[covered]
    if len(asked):
        answers = answer(_unit(np.asarray(space.vectors)[order]), asked[:, :3])
        right[covered] = answers == asked[:, 3:]
    places = np.array(questions.places)
    names = list(dict.fromkeys(questions.categories))
    groups = np.array([names.index(name) for name in questions.categories])[places]

    def score(name: str, mine: np.ndarray) -> CategoryScore:
        count = int((mine & covered).sum())
        add, mul = right[mine & covered].mean(axis=0).tolist() if count else (None, None)
        return CategoryScore(name, int(mine.sum()), count, add, mul)

    categories = [score(name, groups == place) for place, name in enumerate(names)]
    syntactic = np.array([name.startswith("gram") for name in names])[groups]
    split = syntactic.any()
    return AnalogyReport(
        path=path,
        restrict=len(order),
        total=score("total", np.ones(len(rows), dtype=bool)),
        semantic=score("semantic", ~syntactic) if split else None,
        syntactic=score("syntactic", syntactic) if split else None,
        categories=categories,
        reference=GOOGLE_REFERENCE if _is_google(questions) else [],
    )


def answer(candidates: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """Answer a is to b as c is to ?, by 3CosAdd and by 3CosMul.

    Parameters
    ----------
    candidates : (r, d)
        Of length 1.
    questions : (q, 3)
        Rows of a, b and c.

    Returns
    -------
    (q, 2)
        Rows of the answers; ties go to the lowest. -1 if no candidate is left.
    """
    distinct, places = np.unique(questions, return_inverse=True)
    places = places.reshape(questions.shape)
    words = candidates[distinct]  # (u, d)
    best = np.full((len(questions), 2), -np.inf, dtype=np.float32)
    answers = np.full((len(questions), 2), -1, dtype=np.int64)
    for start in range(0, len(candidates), CANDIDATES):
        cosines = words @ candidates[start : start + CANDIDATES].T  # (u, d) x (d, block) -> (u, block)
        shifted = np.clip((cosines + 1) / 2, 0, 1)
        inverse = 1 / (shifted + np.float32(EPS))
        for first in range(0, len(questions), QUESTIONS):
            block = slice(first, first + QUESTIONS)
            a, b, c = places[block].T
            plus = cosines[b] + cosines[c] - cosines[a]  # (q, block)
            times = shifted[b] * shifted[c] * inverse[a]
            asked = questions[block] - start
            row, column = np.nonzero((asked >= 0) & (asked < cosines.shape[1]))
            for method, scores in enumerate((plus, times)):
                scores[row, asked[row, column]] = -np.inf
                top = scores.argmax(axis=1)
                value = np.take_along_axis(scores, top[:, None], axis=1)[:, 0]
                better = value > best[block, method]
                best[block, method][better] = value[better]
                answers[block, method][better] = top[better] + start
    return answers


def _judge_pairs(space: Space, path: str, pairs: Pairs) -> SimilarityReport:
    rows = _find(pairs.words, {label: row for row, label in enumerate(space.labels.tolist())})
    covered = (rows >= 0).all(axis=1)
    vectors = np.asarray(space.vectors)
    left, right = (_unit(vectors[rows[covered, side]].astype(np.float64)) for side in (0, 1))
    cosines = (left * right).sum(axis=1)
    return SimilarityReport(
        path=path,
        pairs=len(rows),
        covered=int(covered.sum()),
        spearman=spearman(np.array(pairs.scores)[covered], cosines),
        reference=WORDSIM_REFERENCE if _is_wordsim(pairs) else [],
    )


def _is_google(questions: Analogies) -> bool:
    return len(questions.words) == 19_544 and questions.categories[0] == "capital-common-countries"


def _is_wordsim(pairs: Pairs) -> bool:
    return len(pairs.words) == 353 and {("love", "sex"), ("tiger", "cat"), ("drug", "abuse")} <= set(pairs.words)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
