"""Every write to members and their cases, one module per noun."""
