"""What monitoring reads: counts and states as Prometheus metrics."""
