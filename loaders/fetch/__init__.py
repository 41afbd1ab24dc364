"""Fetch what is missing of a catalogue: units of work, splitting, canaries, and what is stored of each look-up."""
