"""Loans that repeat: the same reader, the same book, soon again."""


def repeats(loans, days):
    """The pairs (earlier, later) of loans by one reader of one book at most ``days`` days apart.

    A loan is a tuple (day, reader, book). Each loan is paired with the *nearest* earlier loan of the
    same reader and book only (of two on the same day, the one that stands later in the list). Pairs
    are in the order in which their later loans stand in the list. Loans are in no particular order;
    of two loans on one day, the one that stands first in the list is the earlier one.
    """
    found = []
    for index, loan in enumerate(loans):
        best = None
        for other_index, other in enumerate(loans):
            if other[1] != loan[1] or other[2] != loan[2]:
                continue
            if (other[0], other_index) < (loan[0], index):
                if best is None or (other[0], other_index) > best[0]:
                    best = ((other[0], other_index), other)
        if best is not None and loan[0] - best[1][0] <= days:
            found.append((best[1], loan))
    return found
