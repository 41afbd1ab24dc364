"""Measuring pixels: what fills a table that a stage judges in SQL."""

from vascodb.measure.store import ShapeReport, measure_shapes

__all__ = ["ShapeReport", "measure_shapes"]
