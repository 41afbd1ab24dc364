"""Whole catalogues in local HEALPix partitions: HATS, HiPSCat, and caches of the older pipelines."""
