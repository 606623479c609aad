"""Files, frames and patches: what is read of videos and pictures. Knows no SQL, no model and no threads."""
