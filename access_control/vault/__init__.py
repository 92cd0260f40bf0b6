"""Keys, sealing, lookups and fences, in a database of their own. Imports nothing else of this project."""
