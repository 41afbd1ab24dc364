"""The way of the data: extract, load, match, measure, judge."""
