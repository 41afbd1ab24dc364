"""Plates and their digitised images: headers, dates, astrometry, sky footprints."""
