"""What was found, to be looked at: frames, contact sheets, clips, a player."""
