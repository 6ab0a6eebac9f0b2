import ast
import random
import subprocess
import sys

sys.path[:0] = ["/work", "/tests"]
import before
import shop

TEXT = open("/work/shop.py", encoding="utf-8").read()


def outcome(function, *args):
    try:
        return function(*args)
    except ValueError as error:
        return str(error)


def test_same_results():
    draw = random.Random(7)
    for _ in range(2000):
        order = [(draw.randrange(20000), draw.randrange(1, 25)) for _ in range(draw.randrange(5))]
        coupon = draw.choice([None, "SPRING", "LOYAL", "NOPE", ""])
        for name in ("private_total", "business_total", "club_total"):
            old, new = getattr(before, name), getattr(shop, name)
            assert outcome(old, order, coupon) == outcome(new, order, coupon), (name, order, coupon)


def test_each_rate_stands_once():
    numbers = [node.value for node in ast.walk(ast.parse(TEXT)) if isinstance(node, ast.Constant)]
    for value in (5, 10, 15, 19, 3, 490, 990, 5000, 20000):
        most = 2 if value == 10 else 1  # ten pieces, and ten percent
        found = [each for each in numbers if type(each) is int and each == value]
        assert len(found) <= most, value


def test_short():
    assert len(TEXT.splitlines()) < 45
    for node in ast.walk(ast.parse(TEXT)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 15, node.name


def test_own_tests_still_pass():
    done = subprocess.run(
        ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd="/work", timeout=60
    )
    assert done.returncode == 0
