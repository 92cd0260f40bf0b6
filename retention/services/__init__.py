"""Every write of retention: rules, holds, plans, runs, certificates."""
