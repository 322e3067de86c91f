"""What type checkers refuse: the lines marked `# E`, all checkers or those named.

Checked by `test_type_checkers.py`, never run.
"""

# pyright: strict, reportUnusedExpression=false, reportUnnecessaryComparison=false
# ruff: noqa: SIM300 - which operand stands where is what is checked

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from redisom_lite import Manager
from redisom_lite.plan.expression import Condition, Term
from redisom_lite.transaction import Transaction
from tests.typing.accepted import (
    Catalogue,
    Everything,
    Item,
    Note,
    Product,
    Session,
    Shop,
    cache,
    db,
    restock,
    search,
    sell,
)

shop, tx, catalogue = Shop(), Transaction(db), Catalogue()


def find(*conditions: Condition) -> None: ...
def order(*terms: Term) -> None: ...


# Wrong types in the constructor and on an instance.

product = Product(name="x", category="c", price=Decimal(1))
Product(name=5, category="c", price=Decimal(1))  # E
Product(name="x", category="c")  # E
Product(name="x", category="c", price=Decimal(1), nothing=5)  # E: pyright, mypy
Session("token", "user")  # E
Note(id=[1], owner=5, title="t")  # E
product.price = "x"  # E
product.released = 5  # E
product.name + 5  # E

# Comparisons with a value of another type.

Product.price < "x"  # E
Product.price < 5.5  # E
Product.stock < 5.5  # E
Product.name < 5  # E
Product.released < "2024-01-01"  # E
"x" < Product.stock  # E
find(Product.price == "x")  # E
find(Product.stock == "5")  # E
find(Product.category == 5)  # E
find(Product.ean == 5)  # E
find(Product.sku == 5)  # E
find(Everything.kind == "c")  # E
find(Everything.owner == "x")  # E
Product.price.between(1, "x")  # E
Product.price.between(1, 2, bounds="<>")  # E
Product.stock.in_(["x"])  # E
Product.category.in_([5])  # E
Product.tags.has(5)  # E
Product.tags.has_any([5])  # E
Product.name.startswith(5)  # E
Everything.kind.in_(["c"])  # E

# Ordering against None, and None where a field has none.

Product.released < None  # E
Product.price >= None  # E
Product.released.between(None, datetime.now())  # E

# What a kind of index cannot do.

Product.category < "x"  # E
"x" < Product.category  # E
Product.category.between("a", "b")  # E
Product.category.asc()  # E
Product.category.has("x")  # E
Product.category.startswith("x")  # E
Product.ean < "x"  # E
Product.ean.desc()  # E
Product.price.startswith("x")  # E
Product.price.has(5)  # E
Product.sku < "x"  # E
Product.sku.is_none()  # E
find(Product.tags == {"x"})  # E
Product.tags.in_(["x"])  # E
Product.tags < {"x"}  # E

# Fields without an index are plain values to a checker, so their comparisons are no conditions.

find(Product.blurb == "x")  # E
find(Product.blurb < "x")  # E
order(Product.blurb)  # E
Product.blurb.asc()  # E
Product.blurb.is_none()  # E

# Conditions combine with & | ~ only, and only with conditions.

find(Product.price < 5 & Product.stock)  # E
(Product.price < 5) & True  # E
find(Product.price)  # E
order(Product.price < 5)  # E

# Managers.

Item.objects.nothing()  # E
Product.objects.cheap()  # E
Manager(ttl=[5])  # E
Product.nothing  # E

# Transactions and batches.

sell(5)  # E
sell("a", "b")  # E
sell(sku="a", amount=2)  # E
restock("a")  # E
shop.close()  # E
shop.close(tx, "stocktaking")  # E
tx.get(5, "a")  # E
tx.all(Product.price < 5)  # E
tx.save("a")  # E
db.atomic(retries="3")  # E
db.atomic(print)  # E
db.batch().get(5, "a")  # E
db.batch().save(5)  # E

# Caches.

search(5, "tea")  # E
search()  # E
search.key_of(page=1)  # E
catalogue.find(5)  # E: pyright, mypy
cache(ttl=[5])  # E
cache()(len)  # E
cache(depends_on=5)  # E
cache.get_or_load("k", len)  # E
