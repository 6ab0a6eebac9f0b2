import subprocess

FILE = "/work/people.csv"


def run(*args):
    done = subprocess.run(
        ["python3", "/work/columns.py", *args], capture_output=True, text=True, timeout=20
    )
    return done.returncode, done.stdout, done.stderr


def lines(*args):
    code, out, err = run(*args)
    assert code == 0, err
    return out.splitlines()


def test_plain_use_is_unchanged():
    assert lines(FILE, "name", "age") == ["name,age", "Ada,36", "Grace,85", "Alan,41", "Edsger,9"]


def test_where():
    assert lines(FILE, "name", "--where", "town=London") == ["name", "Ada", "Alan"]


def test_where_twice():
    assert lines(FILE, "name", "--where", "town=London", "--where", "age=41") == ["name", "Alan"]


def test_where_with_equals_and_comma():
    assert lines(FILE, "name", "--where", "note=likes a=b, and c") == ["name", "Ada"]


def test_numbers_sort_as_numbers():
    assert lines(FILE, "name", "--sort", "age") == ["name", "Edsger", "Ada", "Alan", "Grace"]


def test_text_sorts_as_text_reversed():
    found = lines(FILE, "name", "--sort", "name", "--reverse")
    assert found == ["name", "Grace", "Edsger", "Alan", "Ada"]


def test_unknown_columns():
    for args in (["nope"], ["name", "--where", "nope=1"], ["name", "--sort", "nope"]):
        code, out, err = run(FILE, *args)
        assert code == 2
        assert out == ""
        assert "nope" in err
        assert "Traceback" not in err
        assert len(err.strip().splitlines()) == 1
