"""The motion of asteroids under the pull of Sun, planets and heavy asteroids, all bodies at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

from vascodb.asteroids.elements import Elements
from vascodb.asteroids.planets import Planets
from vascodb.errors import InputError

__all__ = ["Accuracy", "Moment", "march"]

Floats = NDArray[np.float64]

_SCALES = np.array([1.0, 1.0, 1.0, 0.01, 0.01, 0.01])
"""Of positions and velocities [au, au/d]: a coordinate that happens to be nearly zero needs no finer steps."""
_FIRST_STEP_D = 20.0
_FIRST_JD, _LAST_JD = 2415021.0, 2469807.0


@dataclass(frozen=True)
class Accuracy:
    """How the motion is computed.

    Parameters
    ----------
    rtol : float
        Largest error of a step relative to the state; half as many decimals are lost over 70 years.
    asteroids : bool
        Whether the heaviest asteroids pull, too.
    """

    rtol: float = 1e-11
    asteroids: bool = True


@dataclass(frozen=True)
class Moment:
    """Where all bodies are at one time.

    Parameters
    ----------
    index : int
        Which of the times asked for.
    jd_tdb : float
        The time.
    position, velocity : array of float, shape (3, n)
        Barycentric, on the axes of the ICRS [au, au/d]; in the order of the elements.
    """

    index: int
    jd_tdb: float
    position: Floats
    velocity: Floats


def march(elements: Elements, planets: Planets, jd_tdb: Floats, accuracy: Accuracy | None = None) -> Iterator[Moment]:
    """Where all bodies are at many times, from the latest to the earliest.

    Bodies take the same steps, so that one evaluation of the pull is a few operations on long arrays: all
    of the most common epoch, and all others. The heaviest asteroids pull only those that take their steps. A
    body joins at the time at which its elements osculate. One whose elements are older than the latest of the
    times is brought forward to that first.

    Parameters
    ----------
    elements : `Elements`
        The bodies.
    planets : `Planets`
        What pulls.
    jd_tdb : array of float
        Times, Julian dates in TDB, in any order.
    accuracy : `Accuracy`, optional
        How it is computed.

    Yields
    ------
    `Moment`
        One for each time.

    References
    ----------
    .. [1] Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, II.5 (DOP853).
    """
    if len(jd_tdb) == 0 or len(elements) == 0:
        return
    accuracy = accuracy or Accuracy()
    epochs, counts = np.unique(elements.epoch_jd, return_counts=True)
    common = elements.epoch_jd == epochs[np.argmax(counts)]
    # The few with epochs of their own would break the steps of the many.
    parts = [np.flatnonzero(part) for part in (common, ~common) if np.any(part)]
    marches = [_march_together(elements.take(part), planets, jd_tdb, accuracy) for part in parts]
    position, velocity = np.empty((2, 3, len(elements)))
    for moments in zip(*marches, strict=True):
        for part, moment in zip(parts, moments, strict=True):
            position[:, part], velocity[:, part] = moment.position, moment.velocity
        yield Moment(moments[0].index, moments[0].jd_tdb, position.copy(), velocity.copy())


def _march_together(elements: Elements, planets: Planets, jd_tdb: Floats, accuracy: Accuracy) -> Iterator[Moment]:
    motion = _Motion(elements.numbers, planets, accuracy)
    joins, state = _together(elements, planets, motion, float(np.max(jd_tdb)))
    starts = np.unique(joins)[::-1]
    for start, end in pairwise(starts):
        there = np.flatnonzero(joins >= start)
        state[:, there] = motion.carry(state[:, there], there, float(start), float(end))
    order = np.argsort(-jd_tdb, kind="stable")
    for place, y in motion.visit(state, np.arange(len(elements)), float(starts[-1]), jd_tdb[order]):
        index = int(order[place])
        yield Moment(index, float(jd_tdb[index]), y[:3], y[3:])


def _together(elements: Elements, planets: Planets, motion: "_Motion", latest: float) -> tuple[Floats, Floats]:
    """When each body joins, no earlier than the latest of the times asked for, and its state then, shape (6, n)."""
    epochs = elements.epoch_jd
    first, last = float(np.min(epochs)), float(np.max(epochs))
    if not _FIRST_JD < first <= last < _LAST_JD:
        raise InputError(
            f"elements of epochs JD {first:.1f} to {last:.1f}: the planets are known from 1900 to 2050 only"
        )
    state = np.concatenate(elements.states(planets.sun_gm)) + np.concatenate(planets.sun(epochs))
    for epoch in np.unique(epochs[epochs < latest]):
        rows = np.flatnonzero(epochs == epoch)
        state[:, rows] = motion.carry(state[:, rows], rows, float(epoch), latest)
    return np.maximum(epochs, latest), state


class _Motion:
    """The equations of motion, and their solution step by step."""

    def __init__(self, numbers: NDArray[np.int64], planets: Planets, accuracy: Accuracy) -> None:
        self._numbers, self._planets, self._accuracy = numbers, planets, accuracy

    def carry(self, state: Floats, rows: NDArray[np.int64], start: float, end: float) -> Floats:
        """The states of some bodies, shape (6, n), carried from one time to another."""
        for _, carried in self.visit(state, rows, start, np.array([end])):
            state = carried
        return state

    def visit(
        self, state: Floats, rows: NDArray[np.int64], start: float, times: Floats
    ) -> Iterator[tuple[int, Floats]]:
        """The states of some bodies at sorted times, all on one side of the start."""
        if len(times) == 0 or len(rows) == 0:
            return
        n_done = 0
        while n_done < len(times) and times[n_done] == start:
            yield n_done, state
            n_done += 1
        if n_done == len(times):
            return
        # Days since the start: with Julian dates themselves half of the digits would be lost.
        solver = DOP853(
            self._pull_of(rows, start), 0.0, state.ravel(), float(times[-1]) - start,
            rtol=self._accuracy.rtol, atol=self._accuracy.rtol * np.repeat(_SCALES, state.shape[1]),  # type: ignore[arg-type]
            first_step=min(_FIRST_STEP_D, abs(float(times[-1]) - start)),
        )  # fmt: skip
        sign = np.sign(float(times[-1]) - start)
        while solver.status == "running":
            if (failure := solver.step()) is not None:
                raise InputError(f"the motion cannot be computed beyond JD {start + solver.t:.2f}: {failure}")
            n_reached = int(np.searchsorted(sign * (times - start), sign * solver.t, side="right"))
            if n_reached > n_done:
                between = solver.dense_output()
                for place in range(n_done, n_reached):
                    yield place, between(float(times[place]) - start).reshape(6, -1)
                n_done = n_reached

    def _pull_of(self, rows: NDArray[np.int64], start: float) -> Callable[[float, Floats], Floats]:
        """The derivative of the state, days after a start."""
        planets, gm = self._planets, self._planets.gm
        heavy = [
            (i, planets.asteroid_gm[n]) for i, n in enumerate(self._numbers[rows].tolist()) if n in planets.asteroid_gm
        ]
        if not self._accuracy.asteroids:
            heavy = []

        def derivative(days: float, flat: Floats) -> Floats:
            y = flat.reshape(6, -1)
            position, velocity = y[:3], y[3:]
            places = planets.positions(start + days)
            pull = _relativity(planets, position - places[0][:, None], velocity - _sun_velocity(planets, start + days))
            for place, mass in zip(places, gm, strict=True):
                _add_pull(pull, position, place, mass)
            for body, mass in heavy:
                _add_pull(pull, position, position[:, body], mass, itself=body)
            return np.concatenate([velocity, pull]).ravel()

        return derivative


def _add_pull(pull: Floats, position: Floats, place: Floats, gm: float, itself: int | None = None) -> None:
    """Add Newton's pull of one body, at a place, to the accelerations of all [au/d2]."""
    towards = place[:, None] - position
    distance2 = np.einsum("ij,ij->j", towards, towards)
    if itself is not None:
        distance2[itself] = np.inf
    pull += towards * (gm / (distance2 * np.sqrt(distance2)))


def _relativity(planets: Planets, position: Floats, velocity: Floats) -> Floats:
    """What general relativity adds to the Sun's pull, heliocentric, to first order.

    References
    ----------
    .. [1] Moyer 2003, Formulation for Observed and Computed Values of Deep Space Network Data Types, eq. 4-26.
    """
    gm, light2 = planets.sun_gm, planets.light_au_d**2
    distance = np.sqrt(np.einsum("ij,ij->j", position, position))
    speed2 = np.einsum("ij,ij->j", velocity, velocity)
    radial = np.einsum("ij,ij->j", position, velocity)
    added: Floats = gm / (light2 * distance**3) * ((4 * gm / distance - speed2) * position + 4 * radial * velocity)
    return added


def _sun_velocity(planets: Planets, jd_tdb: float) -> Floats:
    return planets.sun(np.array([jd_tdb]))[1]
