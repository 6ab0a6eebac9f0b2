import json
import socket
import urllib.error
import urllib.request

HERE = "http://127.0.0.1:8080"


def ask(path, body=None):
    request = urllib.request.Request(HERE + path, data=body)
    try:
        answer = urllib.request.urlopen(request, timeout=5)
    except urllib.error.HTTPError as error:
        answer = error
    assert answer.headers["Content-Type"].replace(" ", "").lower() == "application/json;charset=utf-8"
    return answer.status, json.loads(answer.read().decode("utf-8"))


def test_list():
    status, found = ask("/quotes")
    assert status == 200
    assert found[2] == "Ça marche – déjà vu."


def test_one():
    assert ask("/quotes/1") == (
        200, {"number": 1, "text": "Simplicity is prerequisite for reliability."},
    )  # fmt: skip


def test_missing():
    for path in ("/quotes/0", "/quotes/999", "/quotes/x", "/nowhere"):
        status, found = ask(path)
        assert status == 404
        assert "error" in found


def test_append_is_kept_in_the_file():
    status, found = ask("/quotes", json.dumps({"text": "Größer ist nicht besser."}).encode())
    assert status == 201
    assert found["text"] == "Größer ist nicht besser."
    assert ask(f"/quotes/{found['number']}") == (200, found)
    lines = open("/work/quotes.txt", encoding="utf-8").read().splitlines()
    assert lines[found["number"] - 1] == found["text"]


def test_bad_bodies():
    for body in (b"{", b'{"text": ""}', b'{"words": "x"}', b"[]", b"\xff\xfe"):
        status, found = ask("/quotes", body)
        assert status == 400, body
        assert "error" in found


def test_an_idle_client_holds_nobody_up():
    with socket.create_connection(("127.0.0.1", 8080)):
        assert ask("/quotes")[0] == 200
