"""firth.formats: reading, writing and telling apart vector files."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth._check import ArgumentError, FileFormatError, FirthError
from firth.formats import FORMATS, Parts, detect, read, write

TEXT = ("word2vec", "glove", "csv", "tsv")
LINES = (*TEXT, "word2vec-binary")  # formats that may be gzipped

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\v\f\r\0"), min_size=1, max_size=8)


@st.composite
def parts(draw, labels=words):
    names = draw(st.lists(labels, min_size=1, max_size=6, unique=True))
    d = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(numbers, min_size=d, max_size=d), min_size=len(names), max_size=len(names)))
    return Parts(names, np.array(rows, dtype=np.float32), {}, {})


@pytest.fixture
def small() -> Parts:
    vectors = np.array([[1.5, -0.0, 1e-30], [0.1, 3e38, -7.0]], dtype=np.float32)
    columns = {"count": np.array([9, 4]), "kind": np.array(["drink", "thing"], dtype=object)}
    columns["context"] = np.array([[0.25, -0.0, 3e38], [1e-30, 7, 0.1]], dtype=np.float32)
    return Parts(["tea", "münze"], vectors, columns, {"method": "hand"})


def file_of(tmp_path, kind, name="x"):
    return tmp_path / (name + FORMATS[kind].suffixes[0])


def save(tmp_path, data: bytes | str, name: str = "x.txt"):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# Round trips


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_reads_back_to_the_same_bits(tmp_path, kind, small):
    path = file_of(tmp_path, kind)
    left_out = write(small, path, format=kind)
    assert detect(path) == kind
    back = read(path)
    assert back.labels == small.labels
    assert back.vectors.dtype == np.float32
    assert back.vectors.tobytes() == small.vectors.tobytes()
    kept = set(back.columns)
    assert {f"column {name!r}" for name in set(small.columns) - kept} == {w for w in left_out if w != "the recipe"}
    assert ("the recipe" in left_out) == (back.recipe != small.recipe)
    for name in kept:
        assert back.columns[name].tolist() == small.columns[name].tolist()
    assert [p.name for p in tmp_path.iterdir() if ".tmp-" in p.name] == []


@pytest.mark.parametrize("kind", FORMATS)
@given(parts())
def test_any_words_and_numbers_survive_every_format(tmp_path, kind, given):
    path = file_of(tmp_path, kind)
    write(given, path, format=kind)
    back = read(path, format=kind)
    assert back.labels == given.labels
    assert back.vectors.tobytes() == given.vectors.tobytes()


@pytest.mark.parametrize("kind", ["space", "parquet", "csv", "tsv", "safetensors"])
@given(parts(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)))
def test_tables_hold_labels_with_any_characters(tmp_path, kind, given):
    path = file_of(tmp_path, kind)
    write(given, path, format=kind)
    assert read(path, format=kind).labels == given.labels


@pytest.mark.parametrize("kind", LINES)
def test_gzipped_files_are_read_as_they_are(tmp_path, kind, small):
    path = file_of(tmp_path, kind)
    write(small, path, format=kind)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert detect(packed) == kind
    assert read(packed).vectors.tobytes() == small.vectors.tobytes()
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(FileFormatError, match="gzip"):
        read(packed)


@pytest.mark.parametrize("kind", ["word2vec", "glove", "word2vec-binary"])
def test_files_larger_than_a_block_are_read_whole(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("firth.formats.blocks.BLOCK", 1 << 12)
    rng = np.random.default_rng(0)
    many = Parts([f"w{i}" for i in range(3000)], rng.normal(size=(3000, 7)).astype(np.float32), {}, {})
    path = file_of(tmp_path, kind)
    write(many, path, format=kind)
    for source in (path, save(tmp_path, gzip.compress(path.read_bytes()), "y.gz")):
        back = read(source, format=kind)
        assert back.labels == many.labels
        assert back.vectors.tobytes() == many.vectors.tobytes()


def test_a_row_larger_than_a_block_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("firth.formats.blocks.BLOCK", 1 << 12)
    wide = Parts(["a", "b"], np.arange(10_000, dtype=np.float32).reshape(2, -1), {}, {})
    for kind in ("word2vec", "glove", "word2vec-binary"):
        path = file_of(tmp_path, kind)
        write(wide, path, format=kind)
        packed = save(tmp_path, gzip.compress(path.read_bytes()), "y.gz")
        assert (read(packed, format=kind).vectors == wide.vectors).all()
        assert detect(packed) == kind


# As others write them


def test_gensims_files_are_read(tmp_path):
    text = save(tmp_path, "2 3\nthe 0.1 -1e-05 2.0\nof 1.0 0.33333334 -0.0\n", "kv.txt")
    expected = np.array([[0.1, -1e-5, 2], [1, 1 / 3, -0.0]], dtype=np.float32)
    assert read(text).vectors.tobytes() == expected.tobytes()
    data = b"2 3\n" + b"the " + expected[0].tobytes() + b"of " + expected[1].tobytes()
    binary = save(tmp_path, data, "kv.bin")
    assert read(binary).vectors.tobytes() == expected.tobytes()
    write(Parts(["the", "of"], expected, {}, {}), tmp_path / "ours.bin")
    assert (tmp_path / "ours.bin").read_bytes() == data


def test_files_of_the_original_word2vec_are_read(tmp_path):
    values = struct.pack("<2f", 1.0, 2.0)
    data = b"2 2\n</s> " + values + b"\nthe " + values + b"\n"
    assert read(save(tmp_path, data, "c.bin")).labels == ["</s>", "the"]
    assert read(save(tmp_path, "2 2\n</s> 1.0 2.0 \nthe 1.0 2.0 \n")).labels == ["</s>", "the"]


def test_labels_with_spaces_are_read_from_glove(tmp_path):
    path = save(tmp_path, "the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\n\u00a0x\u0085 1 2 3\n")
    assert read(path).labels == ["the", ". . .", "at name@domain.com", "\u00a0x\u0085"]


def test_a_glove_row_that_looks_like_a_header_is_told_by_the_second_line(tmp_path):
    assert detect(save(tmp_path, "2 5\nof 7\n")) == "glove"
    assert read(save(tmp_path, "2 5\nof 7\n")).labels == ["2", "of"]
    assert detect(save(tmp_path, "2 2\nof 7 8\n")) == "word2vec"
    assert detect(save(tmp_path, b"1 2\nof " + struct.pack("<2f", 0.5, 3.25))) == "word2vec-binary"
    assert detect(save(tmp_path, b"1 2\nof " + b"\n\n\n\n\0\0\0\0")) == "word2vec-binary"


def test_tables_of_pandas_are_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.eye(3, dtype=np.float32), index=["a", "b", "NA"])
    frame.to_csv(tmp_path / "x.csv")
    assert read(tmp_path / "x.csv").labels == ["a", "b", "NA"]
    frame.columns = frame.columns.map(str)
    frame.to_parquet(tmp_path / "x.parquet")
    back = read(tmp_path / "x.parquet")
    assert back.labels == ["a", "b", "NA"]
    assert (back.vectors == np.eye(3)).all()
    table = pandas.DataFrame({"word": ["a", "b"], "embedding": [[1.0, 2.0], [3.0, 4.0]], "n": [5, 6]})
    table.to_parquet(tmp_path / "y.parquet")
    back = read(tmp_path / "y.parquet")
    assert back.vectors.tolist() == [[1, 2], [3, 4]]
    assert back.columns["n"].tolist() == [5, 6]


def test_columns_of_a_table_may_be_chosen(tmp_path):
    path = save(tmp_path, 'n,name,a,b,note\n1,"x, y",3,4,p\n2,z,5,6,q\n', "t.csv")
    back = read(path, label_column="name", vector_columns=["a", "b"])
    assert back.labels == ["x, y", "z"]
    assert back.vectors.tolist() == [[3, 4], [5, 6]]
    assert sorted(back.columns) == ["n", "note"]
    with pytest.raises(ArgumentError, match="no column 'q'; its columns are n, name, a, b, note"):
        read(path, label_column="q")


def test_numbered_columns_are_the_vectors_and_others_stay(tmp_path):
    back = read(save(tmp_path, "label,count,x1,x2\na,7,1,2\nb,8,3,4\n", "t.csv"))
    assert back.vectors.tolist() == [[1, 2], [3, 4]]
    assert back.columns["count"].tolist() == [7, 8]
    assert read(save(tmp_path, "label,age,size\na,7,1\n", "t.csv")).vectors.tolist() == [[7, 1]]


@pytest.mark.parametrize("kind", ["float16", "float64", "int8", ">f4"])
def test_arrays_of_other_types_become_float32(tmp_path, kind):
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6).reshape(2, 3).astype(kind)))
    back = read(tmp_path / "x.npy", labels=["a", "b"])
    assert back.vectors.dtype == np.float32
    assert back.vectors.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_labels_of_an_array_are_given_or_stand_beside_it(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(2))
    with pytest.raises(FileFormatError, match=r"no x.labels.txt beside it: write one .* or pass labels="):
        read(tmp_path / "x.npy")
    other = save(tmp_path, "a\r\nb", "names.txt")
    assert read(tmp_path / "x.npy", labels=other).labels == ["a", "b"]
    save(tmp_path, "a b\n\u2028\n", "x.labels.txt")
    assert read(tmp_path / "x.npy").labels == ["a b", "\u2028"]
    save(tmp_path, "a\n", "x.labels.txt")
    with pytest.raises(FileFormatError, match=r"x.labels.txt: 2 labels expected, .*; found 1"):
        read(tmp_path / "x.npy")
    save(tmp_path, b"a\n\xff\n", "x.labels.txt")
    with pytest.raises(FileFormatError, match="line 2: UTF-8 expected, found byte 0xff"):
        read(tmp_path / "x.npy")
    save(tmp_path, b"a\na\n", "x.labels.txt")
    with pytest.raises(FileFormatError, match="line 2: labels must be distinct; 'a' stands in line 1 too"):
        read(tmp_path / "x.npy")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_with_a_width_is_kept_where_there_is_a_place_for_it(tmp_path, kind, small):
    path = file_of(tmp_path, kind)
    left_out = write(small, path, format=kind)
    context = read(path).columns.get("context")
    if kind in ("space", "parquet", "safetensors"):
        assert context.dtype == np.float32
        assert context.tobytes() == small.columns["context"].tobytes()
    else:
        assert "column 'context'" in left_out


def test_a_tensor_of_a_model_is_read(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    save_file({"a": np.eye(2, dtype=np.float32), "b": np.eye(3, dtype=np.float16)}, path)
    with pytest.raises(FileFormatError, match=r"one 2-d tensor expected, found 2; choose one with tensor="):
        read(path)
    assert read(path, tensor="b", labels=list("xyz")).vectors.tolist() == np.eye(3).tolist()
    save_file({"a": np.eye(3, dtype=np.float32), "b": np.eye(3, dtype=np.float32)}, path)
    assert read(path, tensor="b", labels=list("xyz")).columns == {}  # of a model: another matrix, not a column
    with pytest.raises(ArgumentError, match="no tensor 'c'"):
        read(path, tensor="c")
    header = b'{"e":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    save(tmp_path, struct.pack("<Q", len(header)) + header + b"\x80\x3f\x40\xc0", "bf.safetensors")
    assert read(tmp_path / "bf.safetensors", labels=["x"]).vectors.tolist() == [[1.0, -3.0]]


# Malformed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 2\na 1 2\nb 1\n", "line 3: 2 numbers expected, found 1"),
        ("2 2\na 1 2\nb 1 2 3\n", "line 3: 2 numbers expected, found 3"),
        ("2 2\na 1 2\nb 1 zwei\n", "line 3: a finite number expected, found 'zwei'"),
        ("2 2\na 1 2\nb 1 nan\n", "line 3: a finite number expected, found 'nan'"),
        ("2 2\na 1 2\nb 1 1e39\n", "line 3: a finite number expected, found '1e39'"),
        ("2 2\na 1 2\na 3 4\n", "line 3: labels must be distinct; 'a' stands in line 2 too"),
        ("2 2\na 1 2\n\nb 3 4\n", "line 3: a label and 2 numbers expected, found an empty line"),
        ("3 2\na 1 2\nb 1 2000\n", "the header promises 3 rows, found 2"),
        ("9" * 18 + " 2\na 1 2\n", "the header promises 999,999,999,999,999,999 rows, found 1"),
        ("1 2\na 1 2\nb 1 2\n", "line 3: the header promises 1 rows, but the file goes on"),
        ("2 2\na 1 2\nb 1 2", "line 3: a line break expected, found the end of the file"),
        (b"2 2\na 1 2\n\xe4 1 2\n", r"line 3: a label in UTF-8 expected, found '\ufffd' \(byte 0xe4\)"),
        ("12 5\n", "the header promises 12 rows, found 0"),
        ("a 1 2\nb 1\n", "line 2: 2 numbers expected, found 1"),
        ("1 0\na\n", "line 1: at least 1 row"),
        ("7 99999999999\na 1 2\n", "line 1: at least 1 row of 1..1,048,576 numbers"),
    ],
)
def test_malformed_text_names_the_line_and_what_was_found(tmp_path, text, message):
    for name, data in (("x.txt", text), ("x.gz", None)):
        if data is None:
            data = gzip.compress(text if isinstance(text, bytes) else text.encode())
        path = save(tmp_path, data, name)
        with pytest.raises(FileFormatError, match=f"{name}.*{message}"):
            read(path)


def test_labels_that_are_not_utf8_may_be_replaced(tmp_path):
    assert read(save(tmp_path, b"a\xe4 1 2\n"), errors="replace").labels == ["a\ufffd"]
    with pytest.raises(ArgumentError, match="errors must be one of"):
        read(save(tmp_path, b"a\xe4 1 2\n"), errors="ignore")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"2 1\na \0\0\0\0b \0\0\0", "the header promises 2 rows of 1 numbers|cut short in row 1 of 2"),
        (b"2 1\naaaa \0\0\0\0b \0\0\0", "cut short in row 1 of 2: a label and 4 bytes expected, found 5 bytes"),
        (b"1 1\na \0\0\0\0b \0\0\0\0", "promises 1 rows, but the file goes on"),
        (b"1 1\na \0\0\xc0\x7f", r"row 0: finite numbers expected, found NaN \(label 'a'\)"),
        (b"1 1\n\xff \0\0\0\0", "row 0: a label in UTF-8 expected"),
        (b"2 1\na \0\0\0\0a \0\0\0\0", "row 1: labels must be distinct; 'a' stands in row 0 too"),
        (b"1 1\n \0\0\0\0\0", "row 0: a label expected"),
    ],
)
def test_malformed_binary_names_the_row(tmp_path, data, message):
    with pytest.raises(FileFormatError, match=message):
        read(save(tmp_path, data, "x.bin"), format="word2vec-binary")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,x1,x2\na,1,2\nb,1\n", "line 3: 3 fields expected, found 2"),
        ("label,x1,x2\na,1,2\nb,1,zwei\n", "line 3: a finite number expected in column 'x2', found 'zwei'"),
        ("label,x1,x2\na,1,2\nb,1,\n", "line 3: a finite number expected in column 'x2', found ''"),
        ("label,x1,x2\na,1,2\nb,1,nan\n", "line 3: a finite number expected in column 'x2', found 'nan'"),
        ('label,x1\n"a\nb",1\nc,inf\n', "line 4: a finite number expected in column 'x1', found 'inf'"),
        ("label,x1\na,1\nb,2\na,3\n", "line 4: labels must be distinct; 'a' stands in line 2 too"),
        (b"label,x1\na,1\n\xff,2\n", "line 3: UTF-8 expected"),
        ("a,1.5,2\nb,1,2\n", "line 1: a header row expected, found numbers"),
        ("label,x1,x1\nb,1,2\n", "line 1: columns must have distinct names; 'x1' comes twice"),
        ("label,x1\n", "no rows after the header"),
        ("label,x1\na,b\n", "no numbers in the first row"),
    ],
)
def test_malformed_tables_name_the_line(tmp_path, text, message):
    with pytest.raises(FileFormatError, match=message):
        read(save(tmp_path, text, "x.csv"))


def test_malformed_arrays_say_what_they_are(tmp_path):
    for array, message in [
        (np.zeros(3), r"must have rows and columns, \(n, d\); it is \(3,\)"),
        (np.zeros((0, 3)), r"it is \(0, 3\)"),
        (np.zeros((1, 2), dtype=complex), "must hold real numbers; it holds complex128"),
        (np.array([[1.0, np.nan]]), "row 0: finite float32 numbers expected, found nan in column 1"),
        (np.array([[1.0], [1e300]]), "row 1: finite float32 numbers expected, found 1e.300 in column 0"),
    ]:
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(FileFormatError, match=message):
            read(tmp_path / "x.npy", labels=["a", "b"][: len(array)])


def test_pickles_are_refused_and_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.save(tmp_path / "x.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="Python objects, pickled, which firth never opens"):
        read(tmp_path / "x.npy", labels=["a"])
    for protocol in range(2, 6):
        path = save(tmp_path, pickle.dumps(Trap(), protocol), "model.kv")
        with pytest.raises(FileFormatError, match=r"save_word2vec_format\('vectors.txt'\)"):
            read(path)
    assert not (tmp_path / "sprung").exists()


def test_foreign_files_are_refused_with_a_remedy(tmp_path):
    np.savez(tmp_path / "x.npz", np.eye(2))
    with pytest.raises(FileFormatError, match="a zip archive"):
        read(tmp_path / "x.npz")
    with pytest.raises(FileFormatError, match="not a .npy file"):
        read(tmp_path / "x.npz", format="npy")
    with pytest.raises(FileFormatError, match="the format is not known; firth reads space .* pass format="):
        read(save(tmp_path, b"\0\1\2\3 nothing", "x.dat"))
    with pytest.raises(FileFormatError, match="the file is empty"):
        read(save(tmp_path, b""))
    np.save(tmp_path / "x.npy", np.eye(2))
    with pytest.raises(FileFormatError, match="unpack it first"):
        read(save(tmp_path, gzip.compress((tmp_path / "x.npy").read_bytes()), "x.npy.gz"))
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.txt")


def test_arguments_that_do_not_fit_are_refused(tmp_path, small):
    with pytest.raises(ArgumentError, match=r"labels= does not apply to glove .*, which takes errors="):
        read(save(tmp_path, "a 1 2\n"), labels=["a"])
    with pytest.raises(ArgumentError, match="format must be one of space, word2vec"):
        read(save(tmp_path, "a 1 2\n"), format="glov")
    with pytest.raises(ArgumentError, match=r"no format has this suffix; use space \(.space .arrow\)"):
        write(small, tmp_path / "x.xyz")
    with pytest.raises(ArgumentError, match="not written gzipped"):
        write(small, tmp_path / "x.txt.gz")
    with pytest.raises(FileNotFoundError, match="no folder"):
        write(small, tmp_path / "none" / "x.txt")


@pytest.mark.parametrize("kind", ["word2vec", "glove", "word2vec-binary"])
@pytest.mark.parametrize("label", ["new york", "", "a\tb", "a\nb", "\r"])
def test_labels_that_a_format_cannot_hold_are_refused_before_writing(tmp_path, kind, label):
    path = save(tmp_path, "old", "x.txt")
    with pytest.raises(ArgumentError, match=r"cannot be empty or hold spaces; got .*; rename it, or write .space"):
        write(Parts(["a", label], np.eye(2, dtype=np.float32), {}, {}), path, format=kind)
    assert path.read_bytes() == b"old"


def test_an_interrupted_write_leaves_the_old_file(tmp_path, small, monkeypatch):
    path = save(tmp_path, "old", "x.txt")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("firth._core.format_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(small, path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_bytes() == b"old"


# Fuzz: every byte string is refused or read as something valid, never a crash, never another error


def check_read(path, **options):
    """Read a file; None if it is refused with an error that names it."""
    try:
        found = read(path, **options)
    except FirthError as error:
        assert str(path.with_suffix(""))[:-1] in str(error)
        return None
    n, d = found.vectors.shape
    assert n == len(found.labels) == len(set(found.labels)) > 0
    assert d > 0
    assert found.vectors.dtype == np.float32
    assert np.isfinite(found.vectors).all()
    assert all(isinstance(label, str) for label in found.labels)
    assert all(len(column) == n for column in found.columns.values())
    return found


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 5)).astype(np.float32)
    sample = Parts([f"w{i}ö" for i in range(12)], vectors, {"count": np.arange(12)}, {"method": "hand"})
    for kind in FORMATS:
        write(sample, file_of(folder, kind), format=kind)
    return sample, {kind: file_of(folder, kind).read_bytes() for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_refused(tmp_path, samples, kind, share):
    sample, files = samples
    path = save(tmp_path, files[kind][: int(share * len(files[kind]))], "x" + FORMATS[kind].suffixes[0])
    (tmp_path / "x.labels.txt").write_text("\n".join(sample.labels))
    found = check_read(path, format=kind)
    if kind in ("glove", "csv", "tsv"):  # whole lines, or for a table its last number, may be missing: no one can tell
        assert found is None or found.labels == sample.labels[: len(found.labels)]
        if found is not None and kind == "glove":
            assert (found.vectors == sample.vectors[: len(found.labels)]).all()
    else:
        assert found is None


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
def test_changed_files_are_refused_or_read_as_something_valid(tmp_path, samples, kind, data):
    sample, files = samples
    content = bytearray(files[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        # Heads and tails hold the structure: change them more often than the middle.
        place = data.draw(st.integers(0, 60) | st.integers(-60, -1) | st.integers(0, len(content) - 1))
        content[place % len(content)] = data.draw(st.integers(0, 255))
    path = save(tmp_path, bytes(content), "x" + FORMATS[kind].suffixes[0])
    (tmp_path / "x.labels.txt").write_text("\n".join(sample.labels))
    check_read(path, format=kind)
    check_read(path)


@pytest.mark.parametrize("kind", FORMATS)
@given(content=st.binary(max_size=120) | st.text('01 .-+e,\t\nab"', max_size=60).map(str.encode))
def test_any_bytes_are_refused_or_read(tmp_path, kind, content):
    path = save(tmp_path, content, "x" + FORMATS[kind].suffixes[0])
    check_read(path, format=kind)
    check_read(path)


def parse_plain(text: str):
    """What GloVe text means."""
    rows = [line.split(" ") for line in text.splitlines()]
    return [row[0] for row in rows], [[np.float32(field) for field in row[1:]] for row in rows]


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=9))
def test_numbers_are_read_as_numpy_reads_them(tmp_path, rows):
    text = "".join(f"w{i} {' '.join(f'{x:.7g}' for x in row)}\n" for i, row in enumerate(rows))
    labels, vectors = parse_plain(text)
    try:
        found = read(save(tmp_path, text), format="glove")
    except FileFormatError as error:
        assert "finite" in str(error)
        assert not np.isfinite(vectors).all()
    else:
        assert found.labels == labels
        assert found.vectors.tolist() == vectors
