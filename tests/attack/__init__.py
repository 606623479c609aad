"""What was tried to break vsdb, kept: docs/security.md says what each of these holds up."""
