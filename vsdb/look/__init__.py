"""To look at what was found: frames with their boxes, contact sheets, clips, a player."""
