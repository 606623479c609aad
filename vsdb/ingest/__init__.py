"""From paths to stored videos: what needs work, and the threads that do it."""
