"""The base classes of the errors that batches raises on purpose."""


class BatchError(Exception):
    """A request, or a part of a plan, cannot be carried out. The message says why and what to do next."""


class ServiceError(BatchError):
    """A person's request cannot be carried out. The message tells that person why and what to do."""


class WrongChoice(ServiceError):
    """The choice does not exist or makes no sense, whatever the state of the batch."""


class MadeMeanwhile(ServiceError):
    """Another batch of the plan was made since the person looked. Asked again with that number, it is done."""


class NothingToDo(ServiceError):
    """Everything asked for is done already."""
