"""The base of every error that this room raises on purpose."""


class BatchError(Exception):
    """Something a person asked for, or a plan says, cannot be done; the message says why and what to do next."""


class ServiceError(BatchError):
    """What was asked for cannot be done; the text says why and what to do, for the person who asked."""


class WrongChoice(ServiceError):
    """What was chosen does not exist or makes no sense: wrong usage, whatever the state of the batch."""


class NothingToDo(ServiceError):
    """All of it is done already."""
