"""This app's controls: retention and destruction (P7)."""

from access_control.controls import Control

CONTROLS: tuple[Control, ...] = ()
