"""A web shop on redisom_lite: FastAPI in front, an embedded Redis beside it, SQLite as the slow database behind.

    primary.py    what the shop knows for good, in SQLite, and slow on purpose
    models.py     what lives in Redis: products to search, sessions with their carts, orders
    shop.py       what one can do: search, look, fill a cart, buy
    figures.py    what the page shows of caches and memory
    app.py        the same over HTTP, as JSON and as a page

`make shop` runs it. See docs/guides/shop.md for a walk through it.
"""
