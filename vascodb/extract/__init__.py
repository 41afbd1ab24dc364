"""Extraction: SExtractor and PSFEx on the pixels of one image, veto first and PSF measurements after."""
