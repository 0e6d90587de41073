"""The one error for input that a person has to mend."""


class InputError(ValueError):
    """Bad input, told in one line: where it is, what is wrong with which value, and what to do about it.

    Scripts print it and exit with code 2; nothing else in the project turns bad input into an exit.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        if remedy:
            message = f"{message}; {remedy}"
        super().__init__(" ".join(message.split()))  # a line break inside a file's own text must not break "one line"

    def __reduce__(self) -> tuple:
        """Pickle by the constructor's own arguments, so that the error survives a trip from a worker process."""
        return _rebuild, (self.what, self.where, self.remedy)


def _rebuild(what: str, where: str, remedy: str) -> InputError:
    return InputError(what, where=where, remedy=remedy)
