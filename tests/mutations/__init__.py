"""Single-line mistakes of the kind that moving code makes, and the share of them that the tests catch."""
