"""The `redisom` command: looking at models and their indexes from a shell.

    redisom models shop.models                       the models of a module, their keys and indexes
    redisom check shop.models:Product [--repair]     exit status 1 on findings
    redisom explain shop.models:Product "Product.price < 5"

Exit status: 0 all well, 1 findings, 2 wrong usage or no connection.
"""

from redisom_lite.cli.main import main

__all__ = ["main"]
