"""How dates are written where a page does not say it: one way in the whole house, in every language."""
