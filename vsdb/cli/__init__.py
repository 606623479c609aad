"""The commands: what they take, print and say."""
