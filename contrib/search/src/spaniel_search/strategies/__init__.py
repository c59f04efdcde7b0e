"""The strategies, one a room; what they share is in :mod:`spaniel_search.strategies.base`."""
