"""One thin file per command: a docstring with a runnable example, an `Args`, a `main(args) -> int`, and wiring."""
