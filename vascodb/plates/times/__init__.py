"""When plates were exposed: what each witness says, and what follows from all of them."""

from vascodb.plates.times.solve import PlateTimesTotals, solve_plate_times

__all__ = ["PlateTimesTotals", "solve_plate_times"]
