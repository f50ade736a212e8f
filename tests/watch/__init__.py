"""Tests of eidos.watch."""
