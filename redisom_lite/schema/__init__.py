"""What a model is: fields, indexes, and how a record changes. Pure data; knows neither Redis nor asyncio."""
