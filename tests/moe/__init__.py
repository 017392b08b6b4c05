"""Tests of the gates in Mixture-of-Experts models."""
