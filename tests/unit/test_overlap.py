"""Work beside the GPU's: order is kept, little is under way, and errors are not lost."""

import threading

import pytest

from workflow_scripts.lib.overlap import ahead, behind, mapped


def test_ahead_fetches_one_item_while_the_one_before_is_used():
    fetched = []
    items = ahead(fetched.append(i) or i for i in range(4))
    assert next(items) == 0
    assert list(items) == [1, 2, 3] and fetched == [0, 1, 2, 3]


def test_mapped_keeps_order_and_has_few_items_under_way():
    taken, used = [], []
    for number in mapped(lambda i: i * i, (taken.append(i) or i for i in range(50)), threads=3):
        used.append(number)
        assert len(taken) - len(used) < 6
    assert used == [i * i for i in range(50)]


def test_mapped_raises_what_an_item_raises():
    items = mapped(lambda i: 1 // i, [1, 0, 1], threads=2)
    with pytest.raises(ZeroDivisionError):
        list(items)


def test_behind_returns_at_once_works_in_order_and_waits_at_the_end():
    done, release = [], threading.Event()
    with behind() as later:
        later(lambda: release.wait(10) and done.append("first"))
        assert done == []
        release.set()
        later(done.append, "second")
        assert done[0] == "first"
    assert done == ["first", "second"]


@pytest.mark.parametrize("calls", [1, 2])
def test_behind_raises_what_a_call_raised(calls):
    with pytest.raises(ZeroDivisionError), behind() as later:
        for _ in range(calls):
            later(lambda: 1 // 0)


def test_an_error_of_the_caller_is_not_replaced():
    with pytest.raises(KeyError), behind() as later:
        later(lambda: 1 // 0)
        raise KeyError
