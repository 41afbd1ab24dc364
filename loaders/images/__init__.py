"""Where digitised plates come from: cutouts by position, and whole plates by name."""
