"""No service gets more questions at once, or per second, than it bears, and a pause it asks for holds for all."""

import itertools
import threading
import time

import pytest

from vascodb.loaders.client.limits import Limiter


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def limiter_of(per_second: float, connections: int = 1) -> tuple[Limiter, Clock]:
    clock = Clock()
    return Limiter(per_second, connections, clock, clock.sleep), clock


def begun(limiter: Limiter, clock: Clock) -> float:
    with limiter.turn():
        return clock.now


def test_the_first_question_waits_for_nothing() -> None:
    limiter, clock = limiter_of(0.1)
    assert begun(limiter, clock) == 1000.0


@pytest.mark.parametrize("per_second", [0.1, 1.0, 4.0])
def test_questions_are_spaced_out(per_second: float) -> None:
    limiter, clock = limiter_of(per_second)
    times = [begun(limiter, clock) for _ in range(5)]
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([1 / per_second] * 4)


def test_who_comes_late_does_not_save_up_turns() -> None:
    limiter, clock = limiter_of(1.0)
    begun(limiter, clock)
    clock.now += 100
    times = [begun(limiter, clock) for _ in range(3)]
    assert times == pytest.approx([1100, 1101, 1102])


def test_a_pause_holds_for_the_next_question_and_the_spacing_after_it() -> None:
    limiter, clock = limiter_of(1.0)
    begun(limiter, clock)
    limiter.pause(30)
    assert [begun(limiter, clock), begun(limiter, clock)] == pytest.approx([1030, 1031])


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    limiter, clock = limiter_of(1.0)
    limiter.pause(30)
    limiter.pause(1)
    assert begun(limiter, clock) == pytest.approx(1030)


def test_a_pause_holds_for_those_who_wait_already_and_they_do_not_all_go_at_its_end() -> None:
    limiter, clock = limiter_of(1.0)
    begun(limiter, clock)
    plain_sleep = clock.sleep

    def sleep_and_be_told_to_wait(seconds: float) -> None:
        limiter._sleep = plain_sleep
        limiter.pause(30)
        plain_sleep(seconds)

    limiter._sleep = sleep_and_be_told_to_wait
    assert [begun(limiter, clock), begun(limiter, clock)] == pytest.approx([1030, 1031])


def test_only_so_many_are_under_way_at_once() -> None:
    limiter = Limiter(10_000, 2)
    lock, inside, most = threading.Lock(), 0, 0

    def ask() -> None:
        nonlocal inside, most
        for _ in range(5):
            with limiter.turn():
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.002)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_a_question_that_fails_gives_its_connection_back() -> None:
    limiter, clock = limiter_of(1.0)
    with pytest.raises(RuntimeError), limiter.turn():
        raise RuntimeError
    assert begun(limiter, clock) == pytest.approx(1001)
