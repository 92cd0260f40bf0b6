"""This app's controls: retention and destruction (P7). Each asks the facts by SQL of its own, not ``retention.due``."""

from retention.controls import due, holds, restores, runs

CONTROLS = (*due.CONTROLS, *holds.CONTROLS, *runs.CONTROLS, *restores.CONTROLS)
