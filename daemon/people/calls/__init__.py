"""Hooks and the webhook: programs that are told of each job that has ended."""
