"""Benchmarks on a real PostgreSQL: our bulk work beside what a plain Django project would use for it.

``make bench`` runs them; pytest never does. Read the ratios: absolute figures belong to one machine on one day.
"""
