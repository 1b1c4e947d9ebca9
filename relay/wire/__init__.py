"""The vocabulary that relay and clients share: frames, resources, transcripts, limits, errors.

Does no I/O and knows neither side.
"""
