import subprocess


def git(*args):
    return subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", "/work/repo", *args],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip


def test_no_reachable_commit_has_the_token():
    for commit in git("rev-list", "--branches", "--tags").split():
        assert "deploy/token.txt" not in git("ls-tree", "-r", "--name-only", commit).splitlines()


def test_main_keeps_messages_authors_dates_and_order():
    lines = git("log", "--reverse", "--format=%an|%ad|%s", "--date=format:%d", "main").splitlines()
    lines = [line for line in lines if not line.endswith("Deploy: no token in the repository")]
    assert lines == [
        "Mara|01|Begin",
        "Igor|02|Deploy: hosts",
        "Igor|03|Deploy: port",
        "Nadia|06|README: what this is",
    ]


def test_main_keeps_its_other_files():
    assert git("show", "main:README.md") == "# Catalogue\nA list of books.\n"
    assert git("show", "main:deploy/hosts.txt") == "host: books.example.org\nport: 443\n"


def test_search_is_back():
    subjects = git("log", "--format=%s", "search").splitlines()
    assert subjects[:2] == ["Search: rank by title", "Search: a first version"]
    assert "sorted(words, key=len)" in git("show", "search:search.py")
    assert git("show", "search:deploy/hosts.txt") == "host: books.example.org\nport: 443\n"


def test_clean_and_on_main():
    assert git("status", "--porcelain").strip() == ""
    assert git("branch", "--show-current").strip() == "main"
