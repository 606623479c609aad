"""``vsdb serve``: the page and its JSON API."""
