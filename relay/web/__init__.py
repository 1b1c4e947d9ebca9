"""The HTTP skin: the only room that imports aiohttp's server."""
