"""This app's controls, one module per noun."""

from consent.controls import provisions, text, uses

CONTROLS = (*text.CONTROLS, *uses.CONTROLS, *provisions.CONTROLS)
