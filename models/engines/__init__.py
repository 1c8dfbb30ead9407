"""Tortoise engines of our own: safe when a task is cancelled, and ready for several processes."""
