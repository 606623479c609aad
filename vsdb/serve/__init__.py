"""``vsdb serve``: the JSON API and the page, over the same SQL functions that every other way of asking calls."""
