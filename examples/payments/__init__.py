"""Payments: durable accounts behind HTTP, transfers that survive a crash between their steps, a read model."""
