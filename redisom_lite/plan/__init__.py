"""From an expression to a plan. Pure data and functions; knows neither Redis nor asyncio."""
