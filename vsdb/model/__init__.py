"""Models that embed pictures and words, and their text towers as arrays."""
