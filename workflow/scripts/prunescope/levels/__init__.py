"""Comparisons of networks other than by their representations: predictions, weights, loss landscape."""
