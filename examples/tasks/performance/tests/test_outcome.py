import random
import sys

sys.path[:0] = ["/work", "/tests"]
import before
import loans


class Counted:
    """A day that counts how often anybody looks at it."""

    looks = 0

    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        Counted.looks += 1
        return self.value < getattr(other, "value", other)

    def __gt__(self, other):
        Counted.looks += 1
        return self.value > getattr(other, "value", other)

    def __eq__(self, other):
        Counted.looks += 1
        return self.value == getattr(other, "value", other)

    def __le__(self, other):
        Counted.looks += 1
        return self.value <= getattr(other, "value", other)

    def __ge__(self, other):
        Counted.looks += 1
        return self.value >= getattr(other, "value", other)

    def __sub__(self, other):
        Counted.looks += 1
        return self.value - getattr(other, "value", other)

    def __hash__(self):
        Counted.looks += 1
        return hash(self.value)


def test_same_results():
    draw = random.Random(3)
    for _ in range(300):
        size = draw.randrange(30)
        case = [(draw.randrange(12), draw.choice("ab"), draw.choice("xyz")) for _ in range(size)]
        for days in (0, 1, 5):
            assert loans.repeats(list(case), days) == before.repeats(case, days), (case, days)


def looks(size, readers, books):
    draw = random.Random(size)
    case = [
        (Counted(draw.randrange(365)), draw.randrange(readers), draw.randrange(books))
        for _ in range(size)
    ]
    Counted.looks = 0
    loans.repeats(case, 14)
    return Counted.looks


def test_work_grows_with_the_number_of_loans():
    for readers, books in ((1, 1), (500, 300)):
        small = looks(2_000, readers, books)
        assert small < 2_000 * 80
        assert looks(16_000, readers, books) < 16_000 * 80


def test_a_year_of_loans_ends():
    draw = random.Random(9)
    case = [(draw.randrange(365), draw.randrange(50), draw.randrange(40)) for _ in range(200_000)]
    assert len(loans.repeats(case, 14)) > 1000
